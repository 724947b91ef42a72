"""The same dialogue with a server directly and through sendguard: what both were
told, side by side. The exit status is 0 where the codes are the same, or differ as
they are meant to.
"""

import base64
import contextlib
import re
import shutil
import socket
import socketserver
import sys
import threading

from lab import HOST, UNPACKED, Lab, Upstream, sendguard
from servers import Postfix, opensmtpd

MAIL, RCPT = "MAIL FROM:<me@example.org>", "RCPT TO:<guest@example.net>"
LETTER = "From: me@example.org\r\nTo: guest@example.net\r\nSubject: hello\r\n\r\nHello\r\n."
LEAK = "From: me@example.org\r\nTo: " + ", ".join(f"g{n}@example.net" for n in range(43)) + "\r\n\r\nHello\r\n."
SEND = [MAIL, RCPT, "DATA", LETTER]

# What sendguard refuses on purpose: MAIL before EHLO is 503.
MEANT = {("postfix", "MAIL before EHLO")}

# What clients say that is no textbook, with real servers.
DIALOGUES = {
    "white space behind a verb": ["EHLO me.example ", "NOOP ", "RSET ", MAIL + " ", RCPT + " ", "DATA ", LETTER, "QUIT "],
    "white space before a verb": [" EHLO me.example", " NOOP", " " + MAIL, " " + RCPT, " DATA", LETTER, " RSET", " QUIT"],
    "MAIL before EHLO": [MAIL, "EHLO me.example", *SEND],
    "VRFY": ["EHLO me.example", "VRFY guest@example.net", *SEND],
    "EHLO without a name": ["EHLO", "EHLO me.example", *SEND],
    "another EHLO in a transaction": ["EHLO me.example", MAIL, "EHLO other.example", RCPT, *SEND],
    "RSET in a transaction": ["EHLO me.example", MAIL, RCPT, "RSET", RCPT, *SEND],
    "HELO": ["HELO me.example", *SEND],
    "arguments that do not belong": ["EHLO me.example", "NOOP hello", "QUIT now"],
    "nine errors, a message, nine errors": ["EHLO me.example", *["BOGUS"] * 9, *SEND, *["BOGUS"] * 9, *SEND],
    "seven refused messages in a session": ["EHLO me.example", *[MAIL, RCPT, "DATA", LEAK] * 7, *SEND],
    "twelve refused messages in a session": ["EHLO me.example", *[MAIL, RCPT, "DATA", LEAK] * 12, *SEND],
}


def b64(text):
    return base64.b64encode(text.encode()).decode()


# With a server that behaves in a certain way.
SCRIPTED = {
    "it takes leave with 451": ({"idle": "451 4.4.2 Timeout waiting for data from client."}, ["EHLO me.example", "NOOP", "idle", MAIL]),
    "it refuses RSET": ({"RSET": "502 5.5.1 No"}, ["EHLO me.example", MAIL, "RSET", RCPT, "DATA", LETTER]),
    "it refuses a name": ({"EHLO bad": "550 5.7.1 Who?"}, ["EHLO bad", "EHLO good", *SEND]),
    "it refuses EHLO": ({"EHLO good": "550 5.7.1 Who?"}, ["EHLO good", "HELO good", *SEND]),
    "it ends a login with 250": ({"AUTH LOGIN": "334 VXNlcm5hbWU6", b64("me"): "334 UGFzc3dvcmQ6", b64("pw"): "250 2.7.0 Come in"},
                                 ["EHLO me.example", "AUTH LOGIN", b64("me"), b64("pw"), *SEND]),
    "it takes base64 without padding": ({"AUTH LOGIN": "334 VXNlcm5hbWU6", "bWU": "334 UGFzc3dvcmQ6", "cHc ": "235 2.7.0 Come in"},
                                        ["EHLO me.example", "AUTH LOGIN", "bWU", "cHc ", *SEND]),
    "it offers more behind a login": ({"AUTH PLAIN " + b64("\0me\0pw"): "235 2.7.0 Come in"},
                                      ["EHLO me.example", "AUTH PLAIN " + b64("\0me\0pw"), "EHLO me.example", *SEND]),
}


class Scripted(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self, lab, replies):
        super().__init__((HOST, 0), Script)
        self.port, self.replies = self.server_address[1], replies
        threading.Thread(target=self.serve_forever, daemon=True).start()
        lab.exit.callback(self.server_close)
        lab.exit.callback(self.shutdown)


class Script(socketserver.StreamRequestHandler):
    timeout = 60

    def handle(self):
        with contextlib.suppress(OSError):
            self.talk()

    def talk(self):
        say = lambda text: self.wfile.write(text.encode() + b"\r\n")
        say("220 scripted ESMTP")
        logged_in, replies = False, self.server.replies
        for raw in self.rfile:
            line = raw.decode().rstrip("\r\n")
            verb = line.split(" ")[0].upper()
            if line in replies:
                say(replies[line])
                logged_in |= replies[line][:3] in ("235", "250")
            elif verb == "EHLO":
                say("250-scripted\r\n250-PIPELINING\r\n250-AUTH LOGIN PLAIN\r\n250 SIZE " + ("2000" if logged_in else "1000"))
            elif verb == "DATA":
                say("354 Go on")
                while self.rfile.readline() not in (b".\r\n", b""):
                    pass
                say("250 2.0.0 Taken")
            else:
                say("221 Bye" if verb == "QUIT" else "250 2.0.0 Ok")
            if verb == "NOOP" and "idle" in replies:
                say(replies["idle"])
                return
            if verb == "QUIT":
                return


def converse(port, lines):
    """Says each line when the last one was answered, and returns what was told."""
    told = []
    with socket.create_connection((HOST, port), timeout=30) as s, s.makefile("rb") as file:
        def reply():
            got = []
            while line := file.readline().decode(errors="replace"):
                got.append(line.rstrip("\r\n"))
                if line[3:4] != "-":
                    break
            return got
        reply()
        for line in lines:
            if line == "idle":  # until the server has had its say
                threading.Event().wait(0.3)
                continue
            try:
                s.sendall(line.encode() + b"\r\n")
                got = reply()
            except OSError:
                got = []
            told.append((line, got))
            if not got:
                break
    return told


def shown(line):
    return "(message)" if line is LETTER else "(43 in To)" if line is LEAK else repr(line)[1:-1][:34]


def refuses(reply):
    return not reply or reply[-1][0] in "45"


def differs(line, direct, guarded, counted):
    """Whether sendguard refuses what the server takes, but for what it is meant to."""
    if line is LEAK:
        return not guarded or not guarded[0].startswith("550 5.7.1 Not sent")
    if counted:  # the server ends a session in which so many messages came to nothing
        return bool(guarded) and guarded[0][:3] not in ("421", "250", "354")
    return refuses(guarded) and not refuses(direct)


def compare(server, name, port, guard, lines):
    """Prints both sides; a row that was there already is left out."""
    direct, guarded = converse(port, lines), converse(guard, lines)
    fine, counted, printed = True, False, set()
    print(f"\n== {server}: {name}")
    for i in range(len(direct)):
        line, d = direct[i]
        g = guarded[i][1] if i < len(guarded) else []
        wrong = (server, name) not in MEANT and i < len(guarded) and differs(line, d, g, counted)
        counted |= line is LEAK
        fine &= not wrong
        row = f"  {shown(line):<36}{first(d):<60}{first(g)}{'   DIFFERS' if wrong else ''}"
        if (key := re.sub("queued as .*|id=.*|[0-9a-f]{8}", "", row)) not in printed:
            print(row)
        printed.add(key)
    return fine


def first(reply):
    return reply[-1][:58] if reply else "(closed)"


def exim(lab, sink):
    port = lab.port()
    spool = lab.folder("exim")
    shutil.chown(spool, "Debian-exim")
    binary = f"{UNPACKED}/usr/sbin/exim4"
    config = lab.write("exim.conf", f"""\
primary_hostname = exim.example.org
exim_path = {binary}
spool_directory = {spool}
log_file_path = {spool}/%slog
exim_user = Debian-exim
exim_group = Debian-exim
keep_environment =
local_interfaces = {HOST}
daemon_smtp_ports = {port}
tls_advertise_hosts =
acl_smtp_rcpt = accept
acl_smtp_vrfy = accept
begin routers
sink:
  driver = manualroute
  route_list = * {HOST}::{sink}
  self = send
  transport = smtp
begin transports
smtp:
  driver = smtp
""", 0o644)
    lab.start("exim", [binary, "-C", config, "-bdf"], port)
    return port


if __name__ == "__main__":
    with Lab() as lab:
        sink = Upstream(lab).port
        postfix, smtpd = lab.port(), lab.port()
        Postfix(lab, "postfix", f"relayhost = [{HOST}]:{sink}\n", f"{HOST}:{postfix} inet n - n - - smtpd\n")
        opensmtpd(lab, "opensmtpd", f"listen on {HOST} port {smtpd}\naction sink relay host \"smtp+notls://{HOST}:{sink}\"\nmatch from any for any action sink\n", smtpd)
        servers = {"postfix": postfix, "exim": exim(lab, sink), "opensmtpd": smtpd}
        servers |= {name: Scripted(lab, replies).port for name, (replies, _) in SCRIPTED.items()}
        guards = {name: lab.port() for name in servers}
        routes = "".join(f"  - {{name: r{n}, listen: '{HOST}:{guards[name]}', upstream: {{address: '{HOST}:{port}', tls: none}}}}\n" for n, (name, port) in enumerate(servers.items()))
        sendguard(lab, "sendguard", "routes:\n" + routes, guards["postfix"])
        print(f"  {'client':<36}{'told directly':<60}told through sendguard")
        outcomes = [compare(server, name, servers[server], guards[server], lines)
                    for server in ("postfix", "exim", "opensmtpd") for name, lines in DIALOGUES.items()]
        outcomes += [compare("scripted", name, servers[name], guards[name], lines) for name, (_, lines) in SCRIPTED.items()]
        log = lab.read("sendguard.log")
        leaks = re.findall(r"\S*(?:@|example)\S*", log)
        print(f"\nsendguard's log: {len(log.splitlines())} lines, addresses or domains in it: {leaks or 'none'}")
        sys.exit(0 if all(outcomes) and not leaks else 1)
