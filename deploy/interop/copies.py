"""What Postfix, as the client, makes of `action: individual`: a message to many
goes through sendguard in single copies, some of which fail, until everybody has
one. The exit status is 0 where each recipient got exactly one.
"""

import collections
import re
import sys
import threading

from last_word import SENDER, Trial, named, say
from lab import HOST, Lab, Upstream, must, sendguard, wait_until
from servers import Postfix

CONFIG = """\
routes: [{{name: copies, listen: "{host}:{port}", upstream: {{address: "{host}:{upstream}", tls: none, auth: none}}}}]
policy: {{action: individual, limits: {{external: 1}}, individual: {{state: "bolt:{state}"}}}}
server: {{connections_per_client: 1000}}
"""


class Copies(Trial):
    """Postfix before sendguard before a server that refuses whom it is told to."""

    def __init__(self, lab, name):
        self.lab, self.lock = lab, threading.Lock()
        self.refusals = {}  # by recipient: what it is told, once or for good
        self.got = collections.Counter()
        self.upstream = Upstream(lab, last_reply=self.reply)
        port = lab.port()
        config = CONFIG.format(host=HOST, port=port, upstream=self.upstream.port, state=f"{lab.dir}/{name}.state")
        sendguard(lab, name + "-guard", config, port)
        self.postfix = Postfix(lab, name, f"relayhost = [{HOST}]:{port}\n", "")

    def reply(self, recipients):
        to = re.search(rb"<([^@]*)@", recipients[0]).group(1).decode()
        if not to.startswith("guest"):
            return "250 2.0.0 Ok"
        with self.lock:
            text = self.refusals.get(to)
            if text and text[0] == "4":
                del self.refusals[to]
            if not text:
                self.got[to] += 1
        return text or "250 2.0.0 Ok"

    def again(self, queue_id):
        """The next try, which ends with nothing left in the queue. Returns all that became of recipients."""
        must(["postqueue", "-c", self.postfix.config, "-f"])
        wait_until(lambda: f"{queue_id}: removed" in self.postfix.log(), "the queue is empty")
        return self.fates(queue_id, 1)

    def verdict(self, recipients, but=()):
        """One copy for each, that shows its recipient alone."""
        wrong = [f"guest{n}" for n in range(recipients) if self.got[f"guest{n}"] != (0 if f"guest{n}" in but else 1)]
        headers = [m.partition(b"\r\n\r\n")[0] for m in self.upstream.find("Subject: party")]
        shown = [h for h in headers if b"Subject: party" in h and len(re.findall(rb"guest\d+@", h)) != 1]
        return not wrong and not shown, f"copies: {sum(self.got.values())}; wrong: {wrong or 'none'}; showing others: {len(shown)}"


def all_well(lab):
    t = Copies(lab, "well")
    queue_id = t.submit(20)
    lines = t.fates(queue_id, 20)
    ok, text = t.verdict(20)
    say("20 recipients", *lines, text)
    return ok


def some_later(lab):
    t = Copies(lab, "later")
    t.refusals = {"guest3": "452 4.2.2 Mailbox full", "guest7": "452 4.2.2 Mailbox full"}
    queue_id = t.submit(20)
    first = t.fates(queue_id, 20)
    both = t.again(queue_id)
    ok, text = t.verdict(20)
    say("20 recipients, two of whom cannot have it yet", *first, "in both tries:", *both, text)
    return ok


def some_never(lab):
    t = Copies(lab, "never")
    t.refusals = {"guest3": "550 5.1.1 No such mailbox", "guest7": "550 5.1.1 No such mailbox"}
    queue_id = t.submit(20)
    lines = t.fates(queue_id, 20)
    bounce = t.bounce()
    ok, text = t.verdict(20, but=("guest3", "guest7"))
    words = re.search(r"550 5\.1\.1 Sent[^)]*", re.sub(r"\s+", " ", bounce)).group(0)
    say("20 recipients, two of whom do not exist", *lines, f"the bounce names {named(bounce)} recipients and says: {words}", text)
    return ok


def in_parts(lab):
    """Postfix splits what has more than 50 recipients, and sends the parts at the same time."""
    t = Copies(lab, "parts")
    t.refusals = {f"guest{n}": "452 4.2.2 Mailbox full" for n in (7, 57, 107)}
    queue_id = t.submit(120)
    first = t.fates(queue_id, 120)
    both = t.again(queue_id)
    ok, text = t.verdict(120)
    say("120 recipients, three of whom cannot have it yet", *first, "in both tries:", *both, text)
    return ok


if __name__ == "__main__":
    outcomes = []
    for part in (all_well, some_later, some_never, in_parts):
        with Lab() as lab:
            outcomes.append(part(lab))
    sys.exit(0 if all(outcomes) else 1)
