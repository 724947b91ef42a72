"""The extension table: an upstream that announces everything, what of it the
client sees through the guard, and what of each command and parameter reaches it.
"""

import re
import socket
import sys

from lab import HOST, Lab, Upstream, sendguard

# What the upstream announces, and what the client should see of it.
# None: not announced to the client.
SAME = object()
ANNOUNCED = [
    ("PIPELINING", SAME), ("SIZE 52428800", SAME), ("8BITMIME", SAME), ("SMTPUTF8", SAME), ("DSN", SAME), ("ENHANCEDSTATUSCODES", SAME),
    ("REQUIRETLS", SAME), ("DELIVERBY 3600", SAME), ("MT-PRIORITY NSEP", SAME), ("RRVS", SAME),
    ("AUTH PLAIN LOGIN CRAM-MD5 DIGEST-MD5 SCRAM-SHA-256 SCRAM-SHA-256-PLUS XOAUTH2 OAUTHBEARER GSSAPI NTLM EXTERNAL",
     "AUTH PLAIN LOGIN CRAM-MD5 SCRAM-SHA-256 XOAUTH2 OAUTHBEARER"),
    ("AUTH=PLAIN LOGIN", None), ("STARTTLS", None), ("CHUNKING", None), ("BINARYMIME", None), ("VRFY", None), ("EXPN", None), ("HELP", None),
    ("ETRN", None), ("TURN", None), ("XCLIENT NAME ADDR", None), ("XFORWARD NAME ADDR PROTO HELO", None), ("BURL imap", None),
    ("LIMITS RCPTMAX=100", None), ("FUTURERELEASE 86400 2026-12-31T00:00:00Z", None), ("NO-SOLICITING net.example:ADV", None), ("X-FOO bar", None),
]

# Commands of the client. None: the upstream gets the same; else the
# beginning of the reply that the guard gives in its stead.
COMMANDS = [
    ("MAIL FROM:<a@example.org> SIZE=1000", None), ("MAIL FROM:<a@example.org> BODY=8BITMIME", None),
    ("MAIL FROM:<gr\u00fc\u00dfe@b\u00fccher.example> SMTPUTF8", None), ("MAIL FROM:<a@example.org> RET=HDRS ENVID=QQ+2B1", None),
    ("MAIL FROM:<a@example.org> REQUIRETLS", None), ("MAIL FROM:<a@example.org> BY=120;R", None), ("MAIL FROM:<a@example.org> MT-PRIORITY=3", None),
    ("MAIL FROM:<a@example.org> AUTH=<>", None), ("MAIL FROM:<a@example.org> AUTH=b+40example.org", None),
    ("MAIL FROM:<a@example.org> HOLDFOR=60", None), ("MAIL FROM:<a@example.org> BODY=BINARYMIME", None), ("MAIL FROM:<a@example.org> X-FOO=1", None),
    ('MAIL FROM:<"john doe"@example.org>', None), ("MAIL FROM:<>", None), ("mail from: <a@example.org>", None),
    ("RCPT TO:<b@example.net> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b+2B@example.net", None),
    ("RCPT TO:<b@example.net> RRVS=2026-01-01T00:00:00Z;C", None), ('RCPT TO:<"x@y> NOTIFY=NEVER "@example.net>', None),
    ("RCPT TO:<@relay.example:b@example.net>", None), ("RCPT TO:<postmaster>", None), ("RCPT TO:<b@example.net> X-FOO=1", None),
    ("NOOP hello", None), ("RSET", None), ("VRFY b", "252"), ("EXPN list", "502"), ("HELP", "502"), ("ETRN example.org", "502"), ("TURN", "502"),
    ("XCLIENT NAME=x ADDR=1.2.3.4", "502"), ("XFORWARD NAME=x", "502"), ("BURL imap://x LAST", "502"), ("X-FOO", "502"),
    ("STARTTLS", "502"), ("AUTH GSSAPI", "504"), ("AUTH SCRAM-SHA-256-PLUS", "504"), ("BDAT 5 LAST", "502"),
]


class Client:
    """A client that shows each reply."""

    def __init__(self, port):
        self.socket = socket.create_connection((HOST, port), timeout=20)
        self.file = self.socket.makefile("rb")
        self.reply()

    def reply(self):
        lines = []
        while line := self.file.readline().decode():
            lines.append(line.rstrip("\r\n"))
            if line[3:4] == " ":
                break
        return lines

    def say(self, command):
        self.socket.sendall(command.encode() + b"\r\n")
        return self.reply()

    def close(self):
        self.file.close()
        self.socket.close()


def announcements(upstream, client):
    """One row for each extension. Returns whether all is as expected."""
    seen = {line[4:] for line in client.say("EHLO localhost")[1:]}
    fine = True
    print("| upstream announced | client saw | |\n|---|---|---|")
    for line, want in ANNOUNCED:
        want = line if want is SAME else want
        keyword = re.escape(re.split("[ =]", line)[0])
        # AUTH= is the old spelling: what it has is in the line AUTH
        got = None if line.startswith("AUTH=") else next((s for s in seen if re.match(keyword + "( |$)", s)), None)
        fine &= got == want
        print(f"| `{line}` | {f'`{got}`' if got else 'nothing'} | {verdict(got == want, line == got)} |")
    known = {re.split("[ =]", line)[0] for line, _ in ANNOUNCED}
    for line in sorted(s for s in seen if s.split()[0] not in known):
        fine = False
        print(f"| nothing | `{line}` | NOT EXPECTED |")
    return fine and upstream.lines[0] == b"EHLO localhost\r\n"


def verdict(expected, same):
    if not expected:
        return "NOT EXPECTED"
    return "as it was" if same else "kept back"


def commands(upstream, port):
    """One row for each command."""
    fine = True
    print("\n| client said | upstream got | client was told |\n|---|---|---|")
    for command, refusal in COMMANDS:
        client = Client(port)
        client.say("EHLO localhost")
        if command.upper().startswith("RCPT"):
            client.say("MAIL FROM:<a@example.org>")
        elif command == "RSET":  # one that does something
            client.say("MAIL FROM:<a@example.org>")
        before = len(upstream.lines)
        told = client.say(command)[0]
        got = [line.rstrip(b"\r\n").decode() for line in upstream.lines[before:]]
        client.close()
        as_expected = got == [] and told.startswith(refusal) if refusal else got == [command] and told.startswith("250")
        fine &= as_expected
        reached = "the same" if got == [command] else "nothing" if not got else f"`{got}`"
        print(f"| `{command}` | {reached} | `{told}`{'' if as_expected else ' NOT EXPECTED'} |")
    return fine


if __name__ == "__main__":
    with Lab() as lab:
        upstream = Upstream(lab, [line for line, _ in ANNOUNCED])
        port = lab.port()
        sendguard(lab, "sendguard", f"routes: [{{listen: '127.0.0.1:{port}', upstream: {{address: '127.0.0.1:{upstream.port}', tls: none}}}}]\n", port)
        client = Client(port)
        upstream.lines.clear()
        fine = announcements(upstream, client)
        client.close()
        fine &= commands(upstream, port)
        sys.exit(0 if fine else 1)
