"""sendguard with OAuth2 against real parts: oidc-provider, Dovecot's oauth2 passdb
behind Postfix, and nodemailer's smtp-server; clients in front, with a login that
sendguard checks or none. Every secret has a mark, which must be nowhere.
"""

import base64
import contextlib
import http.cookiejar
import json
import os
import re
import shutil
import smtplib
import subprocess
import sys
import threading
import urllib.parse
import urllib.request

import clients
from lab import HOST, REFUSAL, Lab, Upstream, count, must, run, sendguard, wait_until
from servers import PASSWORD, USER, certificate, postfix_server

HERE = os.path.dirname(os.path.abspath(__file__))
MODULES = os.environ.get("INTEROP_NODE", "/var/cache/sendguard-interop-node")
MAILBOX = f"{USER}@example.org"
MARK = "MARKed"
FORTY_THREE = [f"r{n}@far.example" for n in range(43)]


class Browser:
    """Fills in the forms that a provider shows, until there is none."""

    def __init__(self, **fields):
        self.fields = {"login": USER, "password": "any"} | fields
        self.open = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()), urllib.request.ProxyHandler({})).open

    def go(self, address):
        for _ in range(10):
            with self.open(address, timeout=30) as answer:
                page, here = answer.read().decode(), answer.url
            form = re.search(r"<form[^>]*>.*?</form>", page, re.S)
            if not form:
                return page
            action = re.search(r'action="([^"]*)"', form[0])
            values = {}
            for field in re.findall(r"<input[^>]*>|<button[^>]*>", form[0]):
                name, value = re.search(r'name="([^"]*)"', field), re.search(r'value="([^"]*)"', field)
                if name:
                    values[name[1]] = self.fields.get(name[1], value[1] if value else "")
            values.pop("abort", None)
            address = urllib.request.Request(urllib.parse.urljoin(here, action[1] if action else here), urllib.parse.urlencode(values).encode())
        raise RuntimeError(f"forms without end at {here}")


class Parts:
    """The provider, both servers, and a guard before each of them."""

    def __init__(self, lab):
        self.lab = lab
        self.secrets = {"robot": MARK + "-robot-secret", "server": MARK + "-server-secret"}
        self.cert, self.key = certificate(lab)
        self.signer()
        self.provider = node(lab, "provider", SECRETS=json.dumps(self.secrets))
        self.issuer = f"http://{HOST}:{self.provider}"
        self.sink = Upstream(lab)
        self.mail = lab.folder("nodemailer")
        self.servers = {
            "Dovecot behind Postfix": postfix_server(lab, self.cert, self.key, self.sink.port, self.dovecot()),
            "nodemailer": node(lab, "server", CERT=self.cert, KEY=self.key, INTROSPECTION=self.issuer + "/token/introspection",
                                    SECRET=self.secrets["server"], MAIL=self.mail),
        }

    def signer(self):
        """A client with a certificate: its key as PEM for the guard, as JWK for the provider."""
        self.app_cert, self.app_key = os.path.join(self.lab.dir, "app.pem"), os.path.join(self.lab.dir, "app-key.pem")
        must(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=guard", "-keyout", self.app_key, "-out", self.app_cert])
        modulus = must(["openssl", "rsa", "-in", self.app_key, "-noout", "-modulus"]).strip().rpartition("=")[2]
        n = base64.urlsafe_b64encode(bytes.fromhex(modulus)).rstrip(b"=").decode()
        self.secrets["jwk"] = {"kty": "RSA", "n": n, "e": "AQAB", "use": "sig", "alg": "PS256"}

    def dovecot(self):
        """Dovecot as the SASL server alone, which asks the provider about tokens."""
        base, auth = self.lab.folder("dovecot"), self.lab.port()
        tokens = self.lab.write("dovecot/oauth2.conf", f"""\
introspection_mode = post
introspection_url = http://server:{self.secrets['server']}@{HOST}:{self.provider}/token/introspection
username_attribute = username
active_attribute = active
active_value = true
""", 0o600)
        conf = self.lab.write("dovecot/dovecot.conf", f"""\
base_dir = {base}/run
state_dir = {base}/state
log_path = {base}/log
protocols =
listen = {HOST}
ssl = no
auth_mechanisms = xoauth2 oauthbearer
first_valid_uid = 1
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {tokens}
}}
userdb {{
  driver = static
  args = uid=mail gid=mail home={base}/home
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
        self.lab.start("dovecot", ["dovecot", "-F", "-c", conf], auth)
        return auth

    def received(self, text):
        """How many messages with a text reached a server."""
        kept = [open(os.path.join(self.mail, name), "rb").read() for name in os.listdir(self.mail)]
        return len(self.sink.find(text)) + sum(text.encode() in m for m in kept)

    def spoil(self):
        urllib.request.urlopen(urllib.request.Request(self.issuer + "/spoil", b""), timeout=10).close()

    def asked(self):
        with urllib.request.urlopen(self.issuer + "/asked", timeout=10) as answer:
            return int(answer.read())

    def route(self, name, server, oauth2, users=False):
        """A route of the guard, and where it listens."""
        port = self.lab.port()
        users_file = f"    users_file: {self.lab.dir}/users\n" if users else ""
        return port, f"""\
  - name: {name}
    listen: {HOST}:{port}
{users_file}    upstream:
      address: {HOST}:{self.servers[server]}
      ca_file: {self.cert}
      auth: login
      username: {MAILBOX}
      max_idle_connections: 0
      oauth2:
        provider: custom
        auth_url: {self.issuer}/auth
        token_url: {self.issuer}/token
        device_url: {self.issuer}/device/auth
        revoke_url: {self.issuer}/token/revocation
{oauth2}"""


def node(lab, name, **env):
    """Starts a script of oauth2/ with the installed modules. Returns its port."""
    folder, port = lab.folder("node"), lab.port()
    for file in ("package.json", f"{name}.mjs"):
        shutil.copy(os.path.join(HERE, "oauth2", file), folder)
    with contextlib.suppress(FileExistsError):
        os.symlink(os.path.join(MODULES, "node_modules"), os.path.join(folder, "node_modules"))
    lab.start(name, ["node", os.path.join(folder, f"{name}.mjs")], port, env={"PATH": os.environ["PATH"], **env, "PORT": str(port)})
    return port


def person(lab, name):
    return f"        client_id: guard\n        scopes: [openid, email, smtp]\n        store: \"file:{lab.folder('tokens')}/{name}\"\n"


class Guard:
    """sendguard with its routes, and the commands of its user."""

    browser_lasts = 3  # seconds: long enough to be seen in the list of processes

    def __init__(self, lab, name, routes):
        self.lab, self.name, self.processes = lab, name, []
        self.ports = {route: port for route, (port, _) in routes.items()}
        self.process, self.metrics = sendguard(lab, name, "routes:\n" + "".join(text for _, text in routes.values()), next(iter(self.ports.values())))

    def command(self, *words, **more):
        return run([os.environ["SENDGUARD"], *words, "--config", f"{self.lab.dir}/{self.name}.yaml"], **more)

    def login(self, route, *flags, browser=None):
        """Signs in as a person would."""
        browser = browser or Browser()
        argv = [os.environ["SENDGUARD"], "login", route, *flags, "--config", f"{self.lab.dir}/{self.name}.yaml"]
        p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={"PATH": self.browser(), "HOME": self.lab.dir})
        said, browsing = "", None
        for line in p.stdout:
            said += line
            found = re.search(r"Open (\S+) on any device, and enter the code (\S+)", line)
            if found:
                browser.fields["user_code"] = found[2]
            found = found or re.match(r"(http://127\.0\.0\.1:\S+)$", line)
            if found and not browsing:
                if found[0].startswith("http"):
                    wait_until(lambda: os.path.exists(f"{self.lab.dir}/browser-runs"), "a browser is started")
                self.processes.append(must(["ps", "-eo", "args"]))
                browsing = threading.Thread(target=browser.go, args=(found[1],))
                browsing.start()
        if browsing:
            browsing.join(30)
        return p.wait(30), said

    def browser(self):
        """A browser that does nothing with what it is given but to show it in the list of processes."""
        with contextlib.suppress(FileNotFoundError):
            os.remove(f"{self.lab.dir}/browser-runs")
        self.lab.write("bin/xdg-open", f"#!/bin/sh\n/usr/bin/touch {self.lab.dir}/browser-runs\n/usr/bin/sleep {self.browser_lasts}\n", 0o755)
        return f"{self.lab.dir}/bin"

    def metrics_text(self):
        with urllib.request.urlopen(f"http://{HOST}:{self.metrics}/metrics", timeout=10) as answer:
            return answer.read().decode()

    def count(self, sample, **labels):
        inside = ",".join(f'{k}="{v}"' for k, v in sorted(labels.items()))
        return count(self.metrics, f"sendguard_{sample}{{{inside}}}")


def send(port, subject, to=("you@far.example",), login=True):
    """What somebody hears who sends a message by hand."""
    try:
        with smtplib.SMTP(HOST, port, local_hostname="localhost", timeout=60) as s:
            if login:
                s.login(USER, PASSWORD)
            s.sendmail(MAILBOX, list(to), f"From: {MAILBOX}\r\nTo: {', '.join(to)}\r\nSubject: {subject}\r\n\r\nhello\r\n".encode())
    except smtplib.SMTPException as e:
        return str(e)
    return "sent"


class Table:
    """What was tried and how it went."""

    def __init__(self):
        self.failed = 0

    def row(self, what, good, shown=""):
        self.failed += not good
        print(f"{'ok  ' if good else 'FAIL'}  {what}" + (f"\n        {shown}" if not good and shown else ""), flush=True)


def flows(parts, table):
    """Every flow gets a token that both servers take."""
    lab = parts.lab
    oauth2 = {
        "code": person(lab, "code"),
        "device": person(lab, "device") + "        flow: device\n",
        "secret": f"        client_id: robot\n        client_secret: {parts.secrets['robot']}\n        flow: client_credentials\n        scopes: [smtp]\n",
        "certificate": f"        client_id: signer\n        certificate: {parts.app_cert}\n        key: {parts.app_key}\n        flow: client_credentials\n        scopes: [smtp]\n",
    }
    routes = {f"{flow}-{n}": parts.route(f"{flow}-{n}", server, text.replace(f"/{flow}\"", f"/{flow}-{n}\""))
              for flow, text in oauth2.items() for n, server in enumerate(parts.servers)}
    guard = Guard(lab, "flows", routes)
    for flow in oauth2:
        for n, server in enumerate(parts.servers):
            route = f"{flow}-{n}"
            if flow in ("code", "device"):
                status, said = guard.login(route)
                table.row(f"{server}: sendguard login, {flow}", status == 0 and "takes it" in said and MAILBOX in said, said)
            said = send(guard.ports[route], f"flow {route}", login=False)
            table.row(f"{server}: {flow}: sent", said == "sent" and wait_until(lambda r=route: parts.received(f"flow {r}") == 1, route), said)
    status, said = guard.command("config", "--connect")
    table.row("config --connect logs in everywhere", status == 0 and said.count("logged in") == len(routes), said)
    return guard


def fronts(parts, table):
    """Clients in front, with a login that sendguard checks."""
    lab = parts.lab
    must([os.environ["SENDGUARD"], "user", USER, "--file", f"{lab.dir}/users"], input=(PASSWORD + "\n").encode())
    routes = {f"front-{n}": parts.route(f"front-{n}", server, person(lab, f"front-{n}"), users=True) for n, server in enumerate(parts.servers)}
    guard = Guard(lab, "fronts", routes)
    for n, server in enumerate(parts.servers):
        route, port = f"front-{n}", guard.ports[f"front-{n}"]
        said = send(port, f"before {route}")
        table.row(f"{server}: login required: 454", "454" in said and "run sendguard login" in said and guard.count("oauth_login_required", route=route) == 1, said)
        status, said = guard.login(route)
        table.row(f"{server}: sendguard login", status == 0, said)
        said = send(port, f"after {route}")
        table.row(f"{server}: sent after it", said == "sent" and guard.count("oauth_login_required", route=route) == 0, said)
        before = guard.count("oauth_refreshes_total", route=route, result="ok")
        parts.spoil()
        said = send(port, f"spoilt {route}")
        table.row(f"{server}: token refused, refreshed with rotation, sent",
                  said == "sent" and guard.count("oauth_refreshes_total", route=route, result="ok") == before + 1, said)
        for name in ("swaks", "msmtp", "Python smtplib", "mutt", "Thunderbird"):
            client = clients.ALL[name]
            subject = f"{name.replace(' ', '')} {route}"
            status, shown = client(lab, port, clients.Mail(MAILBOX, subject, ["you@far.example"], PASSWORD))
            table.row(f"{server}: {name}: sent", status == 0 and wait_until(lambda s=subject: parts.received(s) == 1, subject), shown)
            status, shown = client(lab, port, clients.Mail(MAILBOX, "over " + subject, FORTY_THREE, PASSWORD))
            table.row(f"{server}: {name}: refused", status != 0 and REFUSAL in " ".join(shown.split()) and parts.received("over " + subject) == 0, shown)
        asked = parts.asked()
        said = [send(port, f"all at once {n}") for n in range(20)]
        table.row(f"{server}: 20 more messages ask the provider nothing", set(said) == {"sent"} and parts.asked() == asked, said)
        status, said = guard.command("logout", route)
        table.row(f"{server}: sendguard logout, and the provider ends it", status == 0 and "the provider has ended the login" in said, said)
        wait_until(lambda r=route: guard.count("oauth_login_required", route=r) == 1, "the guard has noticed", 10)
        said = send(port, f"out {route}")
        table.row(f"{server}: 454 after it", "454" in said, said)
    return guard


def stolen(parts, table):
    """A refresh token that is shown twice ends the login: one 454, and no storm."""
    lab = parts.lab
    guard = Guard(lab, "stolen", {"stolen": parts.route("stolen", "nodemailer", person(lab, "stolen"))})
    status, said = guard.login("stolen")
    first = lab.read("tokens/stolen").strip()
    parts.spoil()
    said = send(guard.ports["stolen"], "stolen 1", login=False)
    table.row("rotation: another refresh token is kept", status == 0 and said == "sent" and lab.read("tokens/stolen").strip() != first, said)
    form = urllib.parse.urlencode({"grant_type": "refresh_token", "refresh_token": first, "client_id": "guard"}).encode()
    with contextlib.suppress(urllib.error.HTTPError):
        urllib.request.urlopen(parts.issuer + "/token", form, timeout=10).close()
    parts.spoil()
    asked = parts.asked()
    heard = [send(guard.ports["stolen"], f"stolen {n}", login=False) for n in range(2, 12)]
    table.row("a token that was stolen and used: told by 451 or 454, the provider asked once", "sent" not in heard and parts.asked() <= asked + 1, heard)
    return guard


def unmarked(parts, guards, processes, table):
    """Looks for every secret in what was logged, counted, kept and shown."""
    lab = parts.lab
    with urllib.request.urlopen(parts.issuer + "/issued", timeout=10) as answer:
        hidden = json.loads(answer.read()) + [parts.secrets["robot"]]
    forms = {f for s in hidden for f in spellings(s)}
    kept = [n for n in os.listdir(f"{lab.dir}/tokens") if not re.fullmatch(r"[a-z]+(-\d)?", n)]
    places = {g.name: lab.read(g.name + ".log") for g in guards} | {"list of processes": "".join(processes) + must(["ps", "-eo", "args"])}
    places |= {g.name + " metrics": g.metrics_text() for g in guards} | {n: lab.read("tokens/" + n) for n in kept}
    found = [place for place, text in places.items() if any(f in text for f in forms)]
    table.row(f"{len(hidden)} secrets in {len(forms)} spellings are in none of {len(places)} places", len(hidden) > 20 and not found, found)
    found = [place for place, text in places.items() if place != "list of processes" and any(f in text for f in spellings(MAILBOX))]
    table.row("nor is the mailbox in a log or a metric", not found, found)
    asking = [word for word in ("code_challenge", "state=", "client_id=") if any(word in p for p in processes)]
    table.row("the list of processes shows no parameter while the browser is open", processes and not asking, asking)


def spellings(secret):
    """A text as it is, and in base64 at each of the three places where it may begin."""
    yield secret
    for n in range(3):
        text = base64.b64encode(b"x" * n + secret.encode()).decode().rstrip("=")
        yield text[(4 if n else 0):-2]


def main():
    table = Table()
    with Lab() as lab:
        parts = Parts(lab)
        guards = [flows(parts, table), fronts(parts, table), stolen(parts, table)]
        unmarked(parts, guards, [p for g in guards for p in g.processes], table)
    print(f"{table.failed} failed" if table.failed else "all as expected")
    return 1 if table.failed else 0


if __name__ == "__main__":
    sys.exit(main())
