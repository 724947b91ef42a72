"""Tries the set-ups of this folder; see try."""

import os
import re
import shutil
import smtplib
import sys

from lab import HOST, UNPACKED, Lab, Tap, Upstream, run, sendguard, stop, wait_until
from servers import Postfix, certificate, dovecot_server, opensmtpd

EXIM = f"{UNPACKED}/usr/sbin/exim4"
REFUSAL = "550 5.7.1 Not sent: every recipient would see 43 outside addresses"
SENDER = "me@example.com"
MANY = [f"guest{n}@example.net" for n in range(43)]


def letter(subject, to):
    return f"From: {SENDER}\nTo: {', '.join(to)}\nSubject: {subject}\nDate: Thu, 01 Jan 2026 12:00:00 +0000\nMessage-ID: <{subject}@example.com>\n\nCome.\n"


class Setup:
    """One file of this folder, with everything that it speaks of started. What
    the MTA has for sendguard is a tap in front of it."""

    def __init__(self, lab, path):
        self.lab = lab
        with open(path) as f:
            text = f.read()
        self.blocks = dict(re.findall(r"^```\w+ (\S+)\n(.*?)^```$", text, re.M | re.S))
        cert, key = certificate(lab)
        self.sink = Upstream(lab)
        self.ports = {}
        listen = int(re.search(r"listen: 127.0.0.1:(\d+)", self.blocks["sendguard.yaml"]).group(1))
        self.guard_port = self.ports[listen] = lab.port()
        guard = self.here("sendguard.yaml")
        if "smtp.example.com:587" in guard:  # a provider with logins
            provider, _ = dovecot_server(lab, cert, key, self.sink.port, SENDER, "secret")
            guard = guard.replace("smtp.example.com:587", f"localhost:{provider}")
        os.environ["SSL_CERT_FILE"] = cert  # the system's roots, for sendguard
        os.environ["SMTP_PASSWORD"] = "secret"
        self.guard, _ = sendguard(lab, "sendguard", guard, self.guard_port)
        self.tap = Tap(lab, self.guard_port)
        self.ports[listen] = self.tap.port
        self.port = lab.port()
        getattr(self, os.path.basename(path).split("-")[0])()

    def here(self, name):
        """A block with ports and paths that are free here."""
        def free(match):
            port = self.ports.setdefault(int(match.group(2)), self.lab.port())
            return f"{match.group(1)}{port}"
        text = re.sub(r"(127\.0\.0\.1\]?:|^  port = )(\d+)", free, self.blocks.get(name, ""), flags=re.M)
        text = text.replace("submission inet", f"{HOST}:{getattr(self, 'port', 0)} inet")
        return re.sub(r"/etc/(?:postfix/)?([\w.]+)(?=\s)", lambda m: os.path.join(self.lab.dir, m.group(1)), text)

    def postfix(self):
        self.lab.write("sasl_passwd", self.here("sasl_passwd"))
        main, master = self.here("main.cf"), self.here("master.cf")
        if not main:  # what is not guarded by being relayed goes out by itself
            main = f"relayhost = [{HOST}]:{self.sink.port}\n"
        if not master:
            master = f"{HOST}:{self.port} inet n - n - - smtpd\n"
        self.mta = Postfix(self.lab, "mta", main, master)
        self.log = self.mta.log

    def opensmtpd(self):
        self.lab.write("smtpd.secrets", self.here("smtpd.secrets"), 0o600)
        opensmtpd(self.lab, "mta", f"listen on {HOST} port {self.port}\n" + self.here("smtpd.conf"), self.port)
        self.log = lambda: self.lab.read("mta.log")

    def exim(self):
        """Exim needs no daemon here: mail is handed to it on the command line."""
        spool = self.lab.folder("exim")
        shutil.chown(spool, "Debian-exim")
        self.exim_config = self.lab.write("exim.conf", f"""\
primary_hostname = mta.example.com
domainlist local_domains = example.com
exim_path = {EXIM}
spool_directory = {spool}
log_file_path = {spool}/%slog
exim_user = Debian-exim
exim_group = Debian-exim
host_lookup =
keep_environment =
begin routers
local:
  driver = accept
  domains = +local_domains
  transport = mailbox
{self.here("routers")}
begin transports
mailbox:
  driver = appendfile
  file = {spool}/mailbox
  user = Debian-exim
{self.here("transports")}
begin authenticators
{self.here("authenticators")}
""")
        self.log = lambda: self.lab.read("exim/mainlog")

    def send(self, subject, to):
        """Hands a message to the MTA as an application would. Returns what that was told."""
        self.tap.clear()
        if hasattr(self, "exim_config"):
            argv = [EXIM, "-C", self.exim_config, "-odf", "-i", "-f", SENDER, *to]
            status, said = run(argv, input=letter(subject, to).encode())
            said = [line for line in said.splitlines() if "lost privilege for using -C" not in line]  # as it should, here
            return f"exit status {status} {' '.join(said)}".strip()
        try:
            with smtplib.SMTP(HOST, self.port, local_hostname="localhost", timeout=60) as s:
                s.ehlo()
                s.mail(SENDER)
                for code, text in map(s.rcpt, to):
                    if code >= 400:
                        return f"{code} {text.decode()} (in reply to RCPT)"
                code, text = s.data(letter(subject, to))
        except smtplib.SMTPResponseException as e:
            code, text = e.smtp_code, e.smtp_error
        return f"{code} {text.decode()}"

    def arrived(self, subject):
        """Whether a message came to the end, other than inside of a bounce."""
        headers = [m.split(b"\r\n\r\n")[0] for m in list(self.sink.messages)]
        return any(f"\r\nSubject: {subject}\r\n".encode() in h for h in headers)

    def bounce(self):
        for m in [*self.sink.messages, self.lab.read("exim/mailbox").encode()]:
            text = " ".join(m.decode(errors="replace").split())
            if REFUSAL in text and "<refused@" in text:
                return m.decode()
        return None

    def verbs(self):
        """The commands that the MTA gave sendguard, but for RCPT and the message."""
        commands = re.sub(rb"(?<=\n)DATA\r\n.*?\r\n\.\r\n", b"DATA\r\n", bytes(self.tap.client), flags=re.S | re.I)
        commands = re.sub(rb"(?<=AUTH PLAIN )\S+", b"...", commands)
        return [line.decode() for line in commands.split(b"\r\n") if line and not line.upper().startswith(b"RCPT")]


def say(title, *lines):
    print(f"  {title:<9}" + "\n           ".join(lines))


def attempt(path):
    with Lab() as lab:
        s = Setup(lab, path)
        ok = True
        print(f"\n== {os.path.basename(path)}")

        told = s.send("good", MANY[:2])
        try:
            wait_until(lambda: s.arrived("good"), "the good message", 20)
            say("good", f"the client was told: {told}", "it arrived", "sendguard was told: " + " / ".join(s.verbs()))
        except TimeoutError:
            ok = False
            say("good", f"the client was told: {told}", "IT DID NOT ARRIVE", *s.log().splitlines()[-12:])

        told = s.send("refused", MANY)
        if told.startswith("550"):
            say("refused", f"the client was told: {told}")
            ok &= REFUSAL in told
        else:
            try:
                bounce = wait_until(s.bounce, "the bounce", 20)
                at = next(i for i, line in enumerate(bounce.splitlines()) if "550" in line)
                say("refused", f"the client was told: {told}", "the sender got a bounce, with",
                    *("  " + line for line in bounce.splitlines()[max(0, at - 2):at + 4]))
            except TimeoutError:
                ok = False
                say("refused", f"the client was told: {told}", "THERE IS NO BOUNCE", *s.log().splitlines()[-12:])
        if s.arrived("refused"):
            ok = False
            say("", "IT LEAKED")

        stop(s.guard)
        s.tap.close()
        seen = len(s.log())
        told = s.send("stopped", MANY[:2])
        if told.startswith("4"):
            say("stopped", f"the client was told: {told}")
        else:
            try:
                lines = wait_until(lambda: [line for line in s.log()[seen:].splitlines() if any(w in line for w in DEFERRED)], "it is deferred", 40)
                say("stopped", f"the client was told: {told}", "the MTA's log: " + lines[0])
            except TimeoutError:
                ok = False
                say("stopped", f"the client was told: {told}", "IT IS NOT DEFERRED", *s.log()[seen:].splitlines())
        ok &= not s.arrived("stopped") and not told.startswith("5")
        return ok


# What MTAs log of a message that stays in the queue.
DEFERRED = ("status=deferred", 'result="TempFail"', " defer (", " == ")

if __name__ == "__main__":
    sys.exit(0 if all([attempt(path) for path in sys.argv[1:]]) else 1)
