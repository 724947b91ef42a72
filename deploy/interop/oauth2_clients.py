"""Clients that log in with OAuth2 themselves, through sendguard with auth: relay.
Thunderbird does by a name that it maps to a provider, here its own for tests, whose
sign-in page is ours, on port 443 with an authority that its profile trusts; msmtp and
curl are given a token.
"""

import http.server
import json
import os
import socketserver
import ssl
import sys
import threading
import urllib.parse

import thunderbird
from lab import HOST, REFUSAL, Lab, count, must, run, sendguard
from oauth2 import FORTY_THREE, MAILBOX, Table, node
from servers import certificate

SIGN_IN = "oauth.test.test"
NAME = "guard.test.test"  # below the one that it maps to this sign-in, in a window of its own
OAUTH2 = 10  # nsMsgAuthMethod

TRUST = """
const [authority, done] = arguments;
Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB).addCertFromBase64(authority, "CT,,");
done(true);
"""

class SignIn(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """The sign-in page, which asks nothing, its tokens, and what a server asks about them."""

    daemon_threads = True

    def __init__(self, lab):
        super().__init__((HOST, 443), Page)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*leaf(lab))
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.forms, self.tokens, self.good = 0, 0, True
        threading.Thread(target=self.serve_forever, daemon=True).start()
        lab.exit.callback(self.server_close)
        lab.exit.callback(self.shutdown)

    def handle_error(self, request, client_address):
        pass


class Page(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        asked = urllib.parse.parse_qs(urllib.parse.urlparse(self.path).query)
        if not self.path.startswith("/form"):
            self.send_error(404)
            return
        self.server.forms += 1
        self.send_response(302)
        self.send_header("Location", asked["redirect_uri"][0] + "?" + urllib.parse.urlencode({"code": "a-code", "state": asked["state"][0]}))
        self.end_headers()

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/introspection":
            self.answer({"active": self.server.good, "username": MAILBOX})
            return
        self.server.tokens += 1
        self.answer({"access_token": f"a-token-{self.server.tokens}", "refresh_token": "a-refresh-token", "token_type": "bearer", "expires_in": 3600, "scope": "test_mail"})

    def answer(self, said):
        text = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def authority(lab):
    """A certificate authority, in DER as base64."""
    path = os.path.join(lab.dir, "authority")
    if not os.path.exists(path + ".pem"):
        must(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=interop", "-keyout", path + "-key.pem", "-out", path + ".pem",
              "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign"])
    return path


def leaf(lab):
    """A certificate for the sign-in page."""
    path, ca = os.path.join(lab.dir, "sign-in"), authority(lab)
    must(["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={SIGN_IN}", "-keyout", path + "-key.pem", "-out", path + ".csr"])
    extensions = lab.write("sign-in.ext", f"subjectAltName=DNS:{SIGN_IN},IP:{HOST}\nextendedKeyUsage=serverAuth\n")
    must(["openssl", "x509", "-req", "-in", path + ".csr", "-CA", ca + ".pem", "-CAkey", ca + "-key.pem", "-CAcreateserial", "-days", "2", "-extfile", extensions, "-out", path + ".pem"])
    return path + ".pem", path + "-key.pem"


def client(lab):
    """A Thunderbird whose outgoing server has that name, with the method OAuth2."""
    preferences = {
        "mail.smtpserver.smtp1.hostname": NAME, "mail.smtpserver.smtp1.authMethod": OAUTH2, "mail.smtpserver.smtp1.username": MAILBOX,
        "mail.identity.id1.useremail": MAILBOX, "network.dns.localDomains": f"{SIGN_IN},{NAME}", "network.proxy.type": 0,
    }
    remote = thunderbird.Marionette(lab, preferences)
    with open(authority(lab) + ".pem") as f:
        der = "".join(line.strip() for line in f if "CERTIFICATE" not in line)
    remote.run(TRUST, der)
    return remote


def given_a_token(lab, port):
    """Clients that take a token from their user."""
    lab.write("hello", "Subject: hello\n\nHello\n")
    return {
        "msmtp": ["msmtp", "-C", lab.write("msmtprc", f"account default\nhost {HOST}\nport {port}\ntls off\nauth xoauth2\nuser {MAILBOX}\npasswordeval echo a-token\nfrom {MAILBOX}\n", 0o600),
                  "you@far.example"],
        "curl": ["curl", "-sS", f"smtp://{HOST}:{port}/localhost", "--user", MAILBOX, "--oauth2-bearer", "a-token", "--mail-from", MAILBOX, "--mail-rcpt", "you@far.example", "--crlf", "-T", f"{lab.dir}/hello"],
    }


def main():
    table = Table()
    with Lab() as lab:
        cert, key = certificate(lab)
        page = SignIn(lab)
        received = lab.folder("nodemailer")
        server = node(lab, "server", CERT=cert, KEY=key, MAIL=received, SECRET="any", INTROSPECTION=f"https://{HOST}/introspection", NODE_EXTRA_CA_CERTS=authority(lab) + ".pem")
        port = lab.port()
        _, metrics = sendguard(lab, "guard", f"routes:\n  - name: work\n    listen: {HOST}:{port}\n    upstream: {{address: \"{HOST}:{server}\", ca_file: {cert}}}\n", port)
        remote = client(lab)

        def send(subject, to):
            return remote.run(thunderbird.SEND, port, "", MAILBOX, ", ".join(to), subject, "Hello\n", "PlainText")

        def kept():
            return len(os.listdir(received))

        closed, shown = send("sent", ["you@far.example"])
        table.row("Thunderbird: the sign-in, and sent", closed and page.forms == 1 and kept() == 1, f"{shown} forms={page.forms} tokens={page.tokens}")
        closed, shown = send("refused", FORTY_THREE)
        table.row("Thunderbird: refused", not closed and REFUSAL in " ".join(shown.split()) and kept() == 1 and page.forms == 1, shown)
        for name, argv in given_a_token(lab, port).items():
            before = kept()
            status, shown = run(argv, input=b"Subject: hello\n\nHello\n", env={"PATH": os.environ["PATH"], "HOME": lab.dir})
            table.row(f"{name}: sent", status == 0 and kept() == before + 1, shown)
        page.good = False
        closed, shown = send("535", ["you@far.example"])
        refused = count(metrics, 'sendguard_upstream_replies_total{class="5xx",command="auth",route="work"}')
        table.row("Thunderbird: a token that the server refuses: 535 is passed on", not closed and refused > 0 and "Unable to authenticate" in shown, shown)
    print(f"{table.failed} failed" if table.failed else "all as expected")
    return 1 if table.failed else 0


if __name__ == "__main__":
    sys.exit(main())
