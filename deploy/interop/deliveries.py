"""What arrived, held against what the queue was told: lost, changed, and doubled, each
double with its cause.
"""

import hashlib
import random
import re
import threading
import time
from collections import defaultdict, namedtuple

from lab import Conversation, Upstream

# A delivery: when its final dot was read, and through which guard it came.
Delivery = namedtuple("Delivery", "at guard")


class Journal:
    """Of all deliveries, by mail and recipient."""

    def __init__(self, mails):
        self.mails, self.lock = mails, threading.Lock()
        self.arrived, self.wrong = defaultdict(list), []

    def take(self, recipients, message, guard):
        """Notes a message. Returns what the server says."""
        name = re.search(rb"(?m)^Message-ID: <(\S+)@home\.example>", message)[1].decode()
        mail, to = self.mails[name], [re.search(rb"<(.*)>", r)[1].decode() for r in recipients]
        if mail.kind != "plain":
            if random.random() < 0.02:
                return "451 4.2.1 Mailbox busy"
            shown = re.findall(rb"[a-z0-9]+@(?:there|site)\d\.example", message.partition(b"\r\n\r\n")[0])
            if [s.decode() for s in shown] != to:
                self.wrong.append(f"{name} shows other recipients")
        if hashlib.sha256(mail.comparable(message)).digest() != mail.digest:
            self.wrong.append(f"{name} arrived changed")
        with self.lock:
            for recipient in to:
                self.arrived[name, recipient].append(Delivery(time.time(), guard))
        return "250 2.0.0 Ok: taken"


class Server(Upstream):
    """The mail server behind one guard: so it is known through which a mail came."""

    def __init__(self, lab, journal, guard):
        super().__init__(lab)
        self.journal, self.guard, self.RequestHandlerClass = journal, guard, Thoughtful


class Thoughtful(Conversation):
    """Keeps no message, and thinks a moment before it answers for one."""

    timeout = 600

    def take(self):
        self.server.lines.clear()
        self.say("354 Go on")
        message = []
        for line in self.rfile:
            if line == b".\r\n":
                said = self.server.journal.take(self.recipients, b"".join(message), self.server.guard)
                time.sleep(random.choice([0, 0, 0.01, 0.05]))
                self.say(said)
                self.recipients = []
                return
            message.append(line[1:] if line.startswith(b".") else line)


class Account:
    """The sum of it. kills are (when, guard) of each kill -9; way says through which guard a try went."""

    def __init__(self, journal, kills, way):
        self.journal, self.kills, self.way = journal, kills, way
        self.lost, self.refused, self.waiting, self.unexplained = [], [], [], []
        self.doubled = defaultdict(list)  # by cause
        self.moved, self.shared = 0, 0
        for mail in list(journal.mails.values()):
            self.judge(mail)

    def judge(self, mail):
        if mail.told[:1] == "5":
            self.refused.append(f"{mail.name}: {mail.told.strip()}")
        elif not mail.told:
            self.waiting.append(f"{mail.name}: {len(mail.tries)} tries, the last one said {mail.tries[-1].said.strip()!r}")
        guards = set()
        for recipient in mail.recipients:
            there = self.journal.arrived.get((mail.name, recipient), [])
            guards |= {d.guard for d in there}
            if not there and mail.told[:1] == "2":
                self.lost.append(f"{mail.name} to {recipient}, told {mail.told.strip()!r}")
            for delivery in there[:-1]:
                self.explain(mail, recipient, delivery)
        self.moved += len({self.way(t) for t in mail.tries} - {None}) > 1
        self.shared += len(guards) > 1

    def explain(self, mail, recipient, delivery):
        """Finds why a mail was sent again to who had it: the guard was killed, or could not note
        it, between the server's taking it and the word about that; nothing else explains it."""
        number = max((n for n, t in enumerate(mail.tries) if t.begun <= delivery.at), default=0)
        cause, ms = self.cause(mail, number, delivery)
        if cause:
            self.doubled[cause].append(f"{mail.name} to {recipient} ({ms:+d} ms)")
        else:
            self.unexplained.append(f"{mail.name} to {recipient}, taken at {clock(delivery.at)} through guard {delivery.guard}; " + self.story(mail, delivery.guard))

    def cause(self, mail, number, delivery):
        """What kept the guard from hearing or noting that the server took it, and how long after that."""
        attempt = mail.tries[number]
        if not self.last(mail, number, delivery):
            return None, 0  # a copy before the last was noted before the next began
        if not attempt.said:
            for at, guard in self.kills:
                if guard == delivery.guard and attempt.begun <= at <= attempt.ended:
                    return f"guard {guard} killed at {clock(at)}", round(1000 * (at - delivery.at))
        elif mail.kind != "plain" and (told := re.search(r"cannot note who has a copy|another sendguard has taken it up", attempt.said)):
            return f"guard {delivery.guard} at {clock(attempt.ended)}: {told[0]}", round(1000 * (attempt.ended - delivery.at))
        return None, 0

    def last(self, mail, number, delivery):
        """Whether it is the last that this try delivered, as all of a plain mail is."""
        until = mail.tries[number + 1].begun if number + 1 < len(mail.tries) else float("inf")
        others = [d for r in mail.recipients for d in self.journal.arrived.get((mail.name, r), [])]
        return mail.kind == "plain" or not any(delivery.at < d.at < until and d.guard == delivery.guard for d in others)

    def story(self, mail, guard):
        """All that happened to a mail, for who looks into it."""
        tries = [f"try {clock(t.begun)} to {clock(t.ended)} at guard {self.way(t)}: {t.said.strip() or 'lost'}" for t in mail.tries]
        there = [f"{r} {clock(d.at)} through {d.guard}" for r in mail.recipients for d in self.journal.arrived.get((mail.name, r), [])]
        kills = [clock(at) for at, g in self.kills if g == guard and mail.tries[0].begun - 1 < at < mail.tries[-1].ended + 1]
        return "; ".join([*tries, *there, "kills: " + ", ".join(kills)])


def clock(at):
    return time.strftime("%H:%M:%S", time.localtime(at)) + f"{at % 1:.3f}"[1:]
