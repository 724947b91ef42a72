"""The submission servers: Postfix, OpenSMTPD and Dovecot, each with STARTTLS, a
login (user robot, password right) and everything that it takes relayed to a sink.
"""

import base64
import os
import shutil
import smtplib
import ssl

from lab import HOST, UNPACKED, must, run, wait_until

USER, PASSWORD, WRONG = "robot", "right", "wrong"


def certificate(lab):
    """A self-signed certificate for 127.0.0.1, which is its own authority."""
    cert, key = os.path.join(lab.dir, "cert.pem"), os.path.join(lab.dir, "key.pem")
    must(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost",
          "-addext", f"subjectAltName=DNS:localhost,IP:{HOST}", "-keyout", key, "-out", cert])
    os.chmod(key, 0o600)
    return cert, key


MASTER = """\
pickup    unix  n - n 60 1 pickup
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n - - proxymap
smtp      unix  - - n - - smtp
relay     unix  - - n - - smtp
showq     unix  n - n - - showq
error     unix  - - n - - error
retry     unix  - - n - - error
discard   unix  - - n - - discard
local     unix  - n n - - local
virtual   unix  - n n - - virtual
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
"""


class Postfix:
    """A Postfix of its own: queue, configuration and log in the scratch folder."""

    def __init__(self, lab, name, main, services):
        self.lab, self.name = lab, name
        self.config = lab.folder(name)
        self.queue, data = lab.folder(name, "queue"), lab.folder(name, "data")
        shutil.chown(data, "postfix")
        self.log_name = f"{name}/maillog"
        base = {
            "compatibility_level": "3.6", "queue_directory": self.queue, "data_directory": data,
            "maillog_file": os.path.join(lab.dir, self.log_name), "maillog_file_prefixes": lab.dir,
            "myhostname": f"{name}.example.org", "mydestination": "", "inet_interfaces": HOST, "inet_protocols": "ipv4",
            "mynetworks": "127.0.0.0/8", "alias_maps": "", "alias_database": "", "local_recipient_maps": "", "biff": "no",
            "disable_dns_lookups": "yes", "smtputf8_enable": "yes", "import_environment": "MAIL_CONFIG", "syslog_name": name,
        }
        # What the caller says comes last, as it would in one's own main.cf.
        lab.write(f"{name}/main.cf", "".join(f"{k} = {v}\n" for k, v in base.items()) + main)
        lab.write(f"{name}/master.cf", MASTER + services)
        self.start()

    def start(self):
        # Under a service manager there is always one parent for all processes.
        must(["postfix", "-c", self.config, "start"])
        self.lab.exit.callback(self.stop)
        wait_until(lambda: "daemon started" in self.log(), f"{self.name} has started")

    def stop(self):
        run(["postfix", "-c", self.config, "stop"])

    def log(self):
        return self.lab.read(self.log_name)

    def sendmail(self, sender, message, *recipients):
        """Submits a message locally and returns its queue id."""
        seen = len(self.log())
        must(["sendmail", "-C", self.config, "-i", "-f", sender, *(recipients or ["-t"])], input=message)
        return wait_until(lambda: queue_id(self.log()[seen:]), "a queue id in the log")

    def fate(self, queue_id, *words):
        """Waits for one of the words in the log lines of a message and returns these lines."""
        def found():
            lines = [line for line in self.log().splitlines() if f" {queue_id}: " in line]
            return lines if any(w in line for w in words for line in lines) else None
        return "\n".join(wait_until(found, f"{words} for {queue_id}"))

    def forget(self):
        """Empties the queue."""
        run(["postsuper", "-c", self.config, "-d", "ALL"])


def queue_id(log):
    for line in log.splitlines():
        if "/pickup[" in line and ": uid=" in line:
            return line.split("]: ", 1)[1].split(":")[0]
    return None


def postfix_server(lab, cert, key, sink, auth_port):
    """Postfix as a submission server; logins are checked by Dovecot."""
    port = lab.port()
    Postfix(lab, "postfix", f"""\
relayhost = [{HOST}]:{sink}
smtpd_tls_security_level = may
smtpd_tls_auth_only = yes
smtpd_tls_cert_file = {cert}
smtpd_tls_key_file = {key}
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:{HOST}:{auth_port}
smtpd_relay_restrictions = permit_sasl_authenticated, reject
""", f"{HOST}:{port} inet n - n - - smtpd\n")
    return port


def dovecot_server(lab, cert, key, sink, user=USER, password=PASSWORD):
    """Dovecot submission, and its logins for Postfix. Returns both ports."""
    port, auth = lab.port(), lab.port()
    base = lab.folder("dovecot")
    lab.folder("dovecot", "home")
    shutil.chown(os.path.join(base, "home"), "mail", "mail")
    users = lab.write("dovecot/users", f"{user}:{{PLAIN}}{password}\n")
    conf = lab.write("dovecot/dovecot.conf", f"""\
base_dir = {base}/run
state_dir = {base}/state
log_path = {base}/log
protocols = submission
listen = {HOST}
ssl = required
ssl_cert = <{cert}
ssl_key = <{key}
auth_mechanisms = plain login
first_valid_uid = 1
mail_location = maildir:~/Maildir
hostname = dovecot.example.org
submission_relay_host = {HOST}
submission_relay_port = {sink}
submission_relay_trusted = no
passdb {{
  driver = passwd-file
  args = {users}
}}
userdb {{
  driver = static
  args = uid=mail gid=mail home={base}/home
}}
service submission-login {{
  inet_listener submission {{
    port = {port}
  }}
}}
service auth {{
  inet_listener sasl {{
    address = {HOST}
    port = {auth}
  }}
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
""")
    lab.start("dovecot", ["dovecot", "-F", "-c", conf], port)
    return port, auth


def opensmtpd_server(lab, cert, key, sink):
    """OpenSMTPD from its unpacked package, with a table of logins."""
    port = lab.port()
    hashed = must(["openssl", "passwd", "-6", PASSWORD]).strip()
    creds = lab.write("opensmtpd/creds", f"{USER}\t{hashed}\n", 0o640)
    conf = f"""\
pki localhost cert "{cert}"
pki localhost key "{key}"
table creds file:{creds}
listen on {HOST} port {port} tls-require pki localhost auth <creds> hostname opensmtpd.example.org
action "sink" relay host "smtp+notls://{HOST}:{sink}"
match from any auth for any action "sink"
"""
    shutil.chown(creds, "root", "opensmtpd")
    opensmtpd(lab, "opensmtpd", conf, port)
    return port


def opensmtpd(lab, name, conf, port):
    """Starts OpenSMTPD. The folders are compiled into it."""
    for path in ("/var/spool/smtpd", "/var/lib/opensmtpd/empty"):
        lab.path_of_others(path)
    lab.start(name, [f"{UNPACKED}/usr/sbin/smtpd", "-d", "-f", lab.write(f"{name}/smtpd.conf", conf, 0o600)], port)


def login_reply(port, mechanism):
    """What a server says to a wrong password without the guard, over STARTTLS."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with smtplib.SMTP(HOST, port, timeout=30) as s:
        s.ehlo("localhost")
        s.starttls(context=context)
        s.ehlo("localhost")
        if mechanism == "LOGIN":
            s.docmd("AUTH LOGIN")
            s.docmd(base64.b64encode(USER.encode()).decode())
            code, text = s.docmd(base64.b64encode(WRONG.encode()).decode())
        else:
            code, text = s.docmd("AUTH PLAIN " + base64.b64encode(f"\0{USER}\0{WRONG}".encode()).decode())
    return f"{code} {text.decode()}"
