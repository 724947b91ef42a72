"""sendguard killed with SIGKILL while it refreshes its token, KILLS times (100), with
oidc-provider, which rotates refresh tokens and ends a login whose old token is shown
again. A login is lost where the new token was given and not kept: each loss must be
told, and the provider asked once.
"""

import contextlib
import http.server
import json
import os
import random
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

from lab import HOST, Lab, listens, wait_until
from oauth2 import Guard, Parts, Table, person, send

KILLS = int(os.environ.get("KILLS", "100"))
LATEST = 0.004  # seconds from the provider's answer to a kill: the save is within


class Between(http.server.ThreadingHTTPServer):
    """Hands requests for tokens on, and knows what was given and when."""

    def __init__(self, lab, provider):
        super().__init__((HOST, 0), Handover)
        self.provider, self.refreshes, self.codes = provider, 0, 0
        self.refreshing(lambda: None)
        threading.Thread(target=self.serve_forever, daemon=True).start()
        lab.exit.callback(self.server_close)
        lab.exit.callback(self.shutdown)

    def refreshing(self, given):
        """What happens when the next token is given."""
        self.given, self.refused, self.newest = given, threading.Event(), None


class Handover(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        form = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {k: self.headers[k] for k in ("Content-Type", "Authorization") if self.headers[k]}
        try:
            answer = urllib.request.urlopen(urllib.request.Request(self.server.provider + self.path, form, headers), timeout=20)
        except urllib.error.HTTPError as e:
            answer = e
        with answer:
            status, body = answer.status, answer.read()
        self.note(urllib.parse.parse_qs(form.decode()), status, body)
        with contextlib.suppress(OSError):
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def note(self, form, status, body):
        between = self.server
        if form["grant_type"] != ["refresh_token"]:
            between.codes += 1
            return
        between.refreshes += 1
        if status != 200:
            between.refused.set()
            return
        between.newest = json.loads(body)["refresh_token"]
        threading.Thread(target=between.given, daemon=True).start()


class Killed(Guard):
    """A guard that is started as often as it is killed."""

    browser_lasts = 0

    def __init__(self, parts):
        self.lab, self.name, self.processes, self.parts = parts.lab, "killed", [], parts
        self.between = Between(self.lab, parts.issuer)
        self.port, text = parts.route("killed", "nodemailer", person(self.lab, "killed"))
        text = text.replace(f"{parts.issuer}/token\n", f"http://{HOST}:{self.between.server_port}/token\n")
        self.metrics = self.lab.port()
        self.config = self.lab.write("killed.yaml", f"routes:\n{text}metrics: {{listen: {HOST}:{self.metrics}}}\n")

    def start(self):
        log = os.open(f"{self.lab.dir}/killed.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.process = subprocess.Popen([os.environ["SENDGUARD"], "serve", "--config", self.config], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        os.close(log)

    def kill(self):
        self.process.kill()
        self.process.wait(10)

    def killed_at_refresh(self):
        """Starts the guard, which refreshes its token at once, and kills it then.
        False: the provider refused."""
        def given():
            started.wait(10)
            time.sleep(random.uniform(0, LATEST))
            self.process.kill()

        started = threading.Event()
        self.between.refreshing(given)
        self.start()
        started.set()
        wait_until(lambda: self.process.poll() is not None or self.between.refused.is_set(), "the guard refreshes")
        return not self.between.refused.is_set()

    def kept(self):
        """Whether the newest token is in the file."""
        return self.lab.read("tokens/killed").strip() == self.between.newest

    def told(self):
        """Whether the loss is, to ten messages and in the metric, and the provider is left alone."""
        wait_until(lambda: listens(self.port), "the guard listens")
        asked = self.parts.asked()
        heard = [send(self.port, f"lost {n}", login=False) for n in range(10)]
        required = self.count("oauth_login_required", route="killed")
        return all("454" in h for h in heard) and required == 1 and self.parts.asked() == asked, heard


def kills(guard, table):
    """Kills the guard, and has somebody log in where the login was lost."""
    logins, kills, lost, known, untold = 1, 0, 0, False, []
    status, said = guard.login("killed")
    table.row("sendguard login", status == 0, said)
    while kills < KILLS or known:
        if guard.killed_at_refresh():
            kills += 1
            if known:
                untold.append("a login that was lost is not")
            known = not guard.kept()
            continue
        good, heard = guard.told()
        if not (good and known):
            untold.append(heard)
        lost, known = lost + 1, False
        guard.kill()
        logins += guard.login("killed")[0] == 0
    table.row(f"{kills} kills: {lost} logins lost, each of them told by 454 and oauth_login_required 1", not untold and lost > 0, untold[:3])
    asked = guard.parts.asked()
    table.row(f"the provider was asked {asked} times: {kills} refreshes, {lost} refused, {logins} logins", asked == kills + lost + logins == guard.between.refreshes + guard.between.codes)
    guard.between.refreshing(lambda: None)
    guard.start()
    wait_until(lambda: listens(guard.port), "the guard listens")
    said = send(guard.port, "after all", login=False)
    table.row("sent after all that", said == "sent" and guard.count("oauth_login_required", route="killed") == 0, said)
    guard.kill()


def main():
    table = Table()
    with Lab() as lab:
        kills(Killed(Parts(lab)), table)
    print(f"{table.failed} failed" if table.failed else "all as expected")
    return 1 if table.failed else 0


if __name__ == "__main__":
    sys.exit(main())
