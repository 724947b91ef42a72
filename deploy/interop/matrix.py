"""The matrix of clients by servers, with sendguard in between: for each pair a
message sent, one refused by the policy, and one with a wrong password. Then, for
each client, what a person sees of a refusal, and whether its reference is in that.
"""

import re
import sys

import clients
from lab import REFUSAL, Lab, Tap, Upstream, count, sendguard, wait_until
from servers import PASSWORD, WRONG, certificate, dovecot_server, login_reply, opensmtpd_server, postfix_server

MANY = [f"guest{n}@example.net" for n in range(1, 44)]


class Matrix:
    def __init__(self, lab):
        self.lab, self.notes, self.cells, self.rows = lab, [], {}, {}
        cert, key = certificate(lab)
        self.sink = Upstream(lab)
        dovecot, auth = dovecot_server(lab, cert, key, self.sink.port)
        self.servers = {"Postfix": postfix_server(lab, cert, key, self.sink.port, auth),
                        "OpenSMTPD": opensmtpd_server(lab, cert, key, self.sink.port), "Dovecot submission": dovecot}
        routes, self.taps = "", {}
        for name, port in self.servers.items():
            listen = lab.port()
            routes += (f"  - name: {word(name)}\n    listen: 127.0.0.1:{listen}\n"
                       f"    upstream: {{address: 127.0.0.1:{port}, tls: starttls, ca_file: {cert}}}\n")
            self.taps[name] = Tap(lab, listen)
        _, self.metrics = sendguard(lab, "sendguard", "routes:\n" + routes, listen)

        ways = {f"{password}.{word(s)}@example.org": (tap.port, password) for s, tap in self.taps.items() for password in (PASSWORD, WRONG)}
        self.clients = clients.ALL | {"Postfix": clients.PostfixClient(lab, ways)}
        if len(sys.argv) > 1:
            self.clients = {name: send for name, send in self.clients.items() if name in sys.argv[1:]}

    def run(self):
        for client, send in self.clients.items():
            for server in self.servers:
                sent, refused, login = (step(client, send, server) for step in (self.sent, self.refused, self.wrong_password))
                self.cells[client, server] = f"{sent} {refused} {login}"

    def send(self, client, send, server, what, to, password):
        """Has a client send one mail. Returns it with what the user was shown."""
        tap = self.taps[server]
        tap.clear()
        mail = clients.Mail(f"{password}.{word(server)}@example.org", f"probe {word(client)} {word(server)} {what}", to, password)
        return mail, *send(self.lab, tap.port, mail)

    def sent(self, client, send, server):
        mail, status, shown = self.send(client, send, server, "sent", MANY[:2], PASSWORD)
        try:
            came = wait_until(lambda: self.sink.find(mail.subject), "the message at the sink", 20)[0]
        except TimeoutError:
            return self.odd(client, server, "LOST", shown)
        handed = self.taps[server].messages()
        if status != 0 or len(handed) != 1:
            return self.odd(client, server, "FAILED", f"exit status {status}: {shown}")
        if without_trace(came, handed[0]) != handed[0]:
            return self.odd(client, server, "CHANGED", f"handed over:\n{handed[0]!r}\narrived:\n{came!r}")
        return "sent"

    def refused(self, client, send, server):
        before = self.blocked(server)
        mail, status, shown = self.send(client, send, server, "refused", MANY, PASSWORD)
        places = {}
        if client == "Postfix":  # its user is shown the bounce, which goes the same way
            places = {"its log": shown}
            try:
                shown = wait_until(lambda: self.bounces(mail), "the bounce", 20)[0].decode()
            except TimeoutError:
                shown += "\n[no bounce]"
        if [m for m in self.sink.find(mail.subject) if m not in self.bounces(mail)]:
            return self.odd(client, server, "LEAKED", shown)
        if status in (0, None) or REFUSAL not in " ".join(shown.split()) or self.blocked(server) != before + 1:
            return self.odd(client, server, "NOT-SHOWN", f"exit status {status}, counted {self.blocked(server) - before}: {shown}")
        if client in clients.SEEN:
            shown, places = clients.SEEN[client](self.lab, self.taps[server].port, mail, shown)
        return self.referred(client, server, shown, places) or "refused"

    def referred(self, client, server, seen, places):
        """Looks for the reference of a refusal: where a person finds it, and that the log
        has one line with it, that of this message."""
        ref = (re.findall(rb" \(ref ([A-HJ-NP-Z2-9]{6})\)\r\n", bytes(self.taps[server].server)) or [b"none"])[-1].decode()
        lines = [line for line in self.lab.read("sendguard.log").splitlines() if f"ref={ref}" in line]
        if len(lines) != 1 or f"route={word(server)} " not in lines[0] or "outcome=refused_by_policy" not in lines[0]:
            return self.odd(client, server, "NOT-LOGGED", f"reference {ref}: {lines}")
        found = [place for place, text in {"what is shown": seen, **places}.items() if ref in text]
        if not found:
            return self.odd(client, server, "NO-REFERENCE", f"reference {ref}: {seen}")
        row = (excerpt(seen).replace(ref, "XXXXXX"), ", ".join(found))
        if self.rows.setdefault(client, row) != row:
            return self.odd(client, server, "OTHERWISE", f"elsewhere {self.rows[client]}, here {row}")
        return None

    def bounces(self, mail):
        return [m for m in self.sink.find(mail.subject) if b"multipart/report" in m]

    def blocked(self, server):
        return count(self.metrics, f'sendguard_blocked_sends_total{{reason="too_many_external",route="{word(server)}",rule="policy"}}')

    def wrong_password(self, client, send, server):
        _, status, shown = self.send(client, send, server, "wrong", MANY[:1], WRONG)
        tap = self.taps[server]
        told, direct = tap.reply(535), login_reply(self.servers[server], tap.mechanism())
        if told != direct:
            return self.odd(client, server, "OTHER-535", f"told {told!r}, without the guard {direct!r}: {shown}")
        if status in (0, None) or not any(words in shown for words in ("535", direct[4:], clients.SHOWN_FOR_535.get(client, "535"))):
            return self.odd(client, server, "535-UNSEEN", f"exit status {status}: {shown}")
        return "535"

    def odd(self, client, server, word_, detail):
        self.notes.append(f"{client}, {server}: {word_}: {detail}")
        return word_

    def print(self):
        print("| client | " + " | ".join(self.servers) + " |")
        print("|---|" + "---|" * len(self.servers))
        for client in self.clients:
            print(f"| {client} | " + " | ".join(self.cells[client, s] for s in self.servers) + " |")
        print("\n| client | what a person sees of a refusal | where the reference is | log lines with it |\n|---|---|---|---|")
        for client, (seen, found) in self.rows.items():
            print(f"| {client} | `{seen}` | {found} | 1, by `grep -F ref=XXXXXX` |")
        for note in self.notes:
            print("\n" + (note if len(note) < 1500 else note[:1000] + " [...] " + note[-400:]))


def excerpt(seen):
    """The sentence of a refusal, or what is seen in its place."""
    words = " ".join(seen.split())
    sentence = re.search(r"(?:\S+ ){0,6}Not sent: .*?(?:\(ref \w{6}\)|$)", words)
    return sentence.group(0) if sentence else words


def without_trace(came, handed):
    """Takes away what servers put before a message: whole Received fields."""
    trace = came[:-len(handed)] if came.endswith(handed) else b""
    fields = trace.replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ").split(b"\r\n")
    if all(f.startswith(b"Received: ") for f in fields[:-1]) and fields[-1] == b"":
        return came[len(trace):]
    return came


def word(name):
    return name.lower().replace(" ", "-")


if __name__ == "__main__":
    with Lab() as lab:
        m = Matrix(lab)
        m.run()
        m.print()
        sys.exit(1 if m.notes else 0)
