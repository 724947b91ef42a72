"""The clients. Each function sends one mail with a login and returns what its
user was shown. A client that takes a whole message is given one; the others
make their own of subject, recipients and text.
"""

import os
import smtplib
from dataclasses import dataclass, field

from lab import HOST, run
from screen import mutt_on_screen
from servers import PASSWORD, USER, Postfix
from thunderbird import Thunderbird

TEXT = "A line.\n.\n..two dots\n.a dot in front\nGr\u00fc\u00dfe, \u20ac 5\n" + "long " * 150 + "\n\nthe end\n"


@dataclass
class Mail:
    sender: str
    subject: str
    to: list = field(default_factory=list)
    password: str = ""

    def text(self):
        return TEXT.encode()

    def message(self):
        """The mail as a file with LF."""
        head = (f"From: {self.sender}\nTo: {(', ' + chr(10) + ' ').join(self.to)}\nSubject: {self.subject}\n"
                f"Date: Thu, 01 Jan 2026 12:00:00 +0000\nMessage-ID: <{self.subject.replace(' ', '.')}@example.org>\nX-Odd:   kept \n as\tit is\n"
                "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n")
        return head.encode() + self.text()


def swaks(lab, port, mail):
    return run(["swaks", "--server", f"{HOST}:{port}", "--helo", "localhost", "--auth", "PLAIN", "--au", USER, "--ap", mail.password,
                "--from", mail.sender, "--to", ",".join(mail.to), "--data", "@" + lab.write("mail.eml", mail.message())])


def msmtp(lab, port, mail):
    conf = lab.write("msmtprc", f"account default\nhost {HOST}\nport {port}\ntls off\nauth plain\nuser {USER}\n"
                     f"password {mail.password}\nfrom {mail.sender}\n", 0o600)
    return run(["msmtp", "-C", conf, "-t"], input=mail.message())


def curl(lab, port, mail):
    to = [word for address in mail.to for word in ("--mail-rcpt", address)]
    return run(["curl", "-sSv", f"smtp://{HOST}:{port}/localhost", "--user", f"{USER}:{mail.password}", "--mail-from", mail.sender, *to,
                "--crlf", "-T", lab.write("mail.eml", mail.message())])


def muttrc(lab, port, mail, more=""):
    return lab.write("muttrc", f'set smtp_url="smtp://{USER}@{HOST}:{port}/"\nset smtp_pass="{mail.password}"\nset ssl_starttls=no\n'
                   f'set ssl_force_tls=no\nset smtp_authenticators="plain"\nset from="{mail.sender}"\nset use_from=yes\n'
                   f'set hostname=localhost\nset copy=no\nset charset=utf-8\nset tmpdir="{lab.dir}"\n{more}')


def mutt(lab, port, mail):
    return run(["mutt", "-n", "-F", muttrc(lab, port, mail), "-s", mail.subject, "--", *mail.to], input=mail.text(), env=home(lab) | {"LC_ALL": "C.UTF-8"})


def s_nail(lab, port, mail):
    settings = [f"mta=smtp://{USER}:{mail.password}@{HOST}:{port}", "v15-compat=yes", "smtp-auth=plain", f"from={mail.sender}",
                "hostname=localhost", "smtp-hostname=localhost", "sendwait", "DEAD=" + os.path.join(lab.dir, "dead.letter")]
    options = [word for s in settings for word in ("-S", s)]
    return run(["s-nail", "-:/", *options, "-s", mail.subject, *mail.to], input=mail.text(), env=home(lab) | {"LC_ALL": "C.UTF-8"})


# As bytes, smtplib sends what it is given: with LF alone the guard would refuse it.
def smtplib_(lab, port, mail):
    shown = ""
    try:
        with smtplib.SMTP(HOST, port, local_hostname="localhost", timeout=30) as s:
            s.login(USER, mail.password)
            s.sendmail(mail.sender, mail.to, mail.message().replace(b"\n", b"\r\n"), ["BODY=8BITMIME"])
    except smtplib.SMTPException as e:
        shown = repr(e)
    return (1 if shown else 0), shown


def git_send_email(lab, port, mail):
    patch = lab.write("mail.patch", mail.message())
    to = [word for address in mail.to for word in ("--to", address)]
    return run(["git", "send-email", "--smtp-server", HOST, "--smtp-server-port", str(port), "--smtp-user", USER, "--smtp-pass", mail.password,
                "--smtp-auth", "PLAIN", "--smtp-encryption", "none", "--smtp-domain", "localhost", "--from", mail.sender, "--confirm", "never",
                "--no-validate", *to, patch], env=home(lab) | {"GIT_CONFIG_NOSYSTEM": "1"}, cwd=lab.dir)


def home(lab):
    return {"HOME": lab.folder("home"), "PATH": os.environ["PATH"], "TERM": "dumb"}


class PostfixClient:
    """A Postfix that relays through the guard, by sender: one for each server
    and password."""

    def __init__(self, lab, ways):
        """ways: sender -> (port, password)."""
        relays = lab.write("relays", "".join(f"{sender} [{HOST}]:{port}\n" for sender, (port, _) in ways.items()))
        logins = lab.write("logins", "".join(f"{sender} {USER}:{password}\n" for sender, (_, password) in ways.items())
                           + "".join(f"[{HOST}]:{port} {USER}:{PASSWORD}\n" for port in {port for port, _ in ways.values()}))  # bounces
        self.postfix = Postfix(lab, "client", f"""\
sender_dependent_relayhost_maps = texthash:{relays}
relayhost = [{HOST}]:{next(iter(ways.values()))[0]}
smtp_sender_dependent_authentication = yes
smtp_sasl_auth_enable = yes
smtp_sasl_password_maps = texthash:{logins}
smtp_sasl_security_options = noanonymous
smtp_tls_security_level = none
""", "")

    def __call__(self, lab, port, mail):
        self.postfix.forget()  # what a wrong password left there
        log = self.postfix.fate(self.postfix.sendmail(mail.sender, mail.message()), "status=")
        return (0 if "status=sent" in log else 1), log


# What a user is shown of a wrong password where it is not the server's reply.
SHOWN_FOR_535 = {"mutt": "SASL authentication failed", "Thunderbird": "Login to server 127.0.0.1 with username robot failed"}

# What a person sees of a refusal, where that is not what the client said above, and
# what else there is to look at: by the names of these places.


def curl_seen(lab, port, mail, said):
    return "\n".join(line for line in said.splitlines() if line[:2] not in ("* ", "> ", "< ", "{ ", "} ")), {"curl -v": said}


def mutt_seen(lab, port, mail, said):
    """Without a terminal mutt says all of a reply, in its menu as much as fits on a line."""
    rc = muttrc(lab, port, mail, "set editor=true\nset autoedit=yes\nset edit_headers=yes\nset abort_unmodified=no\nset spoolfile=/dev/null\nset folder=/\nmacro compose E <error-history><bottom>\n")
    draft = lab.write("draft", f"To: {', '.join(mail.to)}\nSubject: {mail.subject}\n\n".encode() + mail.text())
    below, errors = mutt_on_screen(["mutt", "-n", "-F", rc, "-H", draft], home(lab))
    return below, {"<error-history>": errors}


SEEN = {"curl": curl_seen, "mutt": mutt_seen}

ALL = {"swaks": swaks, "msmtp": msmtp, "curl": curl, "mutt": mutt, "s-nail": s_nail, "Python smtplib": smtplib_,
       "git send-email": git_send_email, "Thunderbird": Thunderbird()}
