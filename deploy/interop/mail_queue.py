"""A queue of mail that sends as mail servers do: it tries again after a 4xx or a lost
connection, never after a 2xx or 5xx, and keeps what became of each try.
"""

import contextlib
import hashlib
import heapq
import itertools
import random
import socket
import threading
import time
from collections import Counter, namedtuple

from lab import HOST

PATIENCE = 100  # seconds for one reply
ALERTS = 4  # series of mails with one text each

# A try: when (Unix time), from which port, and the reply that ended it; "" for a lost connection.
Try = namedtuple("Try", "begun ended port said")


class Mail:
    """One mail. plain shows one address; copies shows all, and is sent to each alone; so is alert,
    of which each of a series has the same text and comes when the one before is sent."""

    def __init__(self, number, kind, to, size, subject, series=None):
        self.name, self.kind, self.recipients, self.series = f"{kind}-{number}", kind, to, series
        self.tries, self.told = [], ""
        shown = ", ".join(to[:1] if kind == "plain" else to)
        head = f"From: me@home.example\r\nTo: {shown}\r\nSubject: {subject}\r\nMessage-ID: <{self.name}@home.example>\r\n\r\n"
        line = f"This is about {subject}, as everybody knows.\r\n"
        self.message = (head + line * (1 + size // len(line))).encode()
        self.digest = hashlib.sha256(self.comparable(self.message)).digest()

    def comparable(self, message):
        """What must arrive as it was: all, or where the header is rewritten the body."""
        return message if self.kind == "plain" else message.partition(b"\r\n\r\n")[2]


class MailQueue:
    """Sends through a port of this machine until it is told to begin no more."""

    def __init__(self, port, workers, mails):
        self.port, self.mails, self.replies = port, mails, Counter()
        self.changed, self.waiting, self.numbers = threading.Condition(), [], itertools.count(1)
        self.alerts = list(range(ALERTS))  # series of which no mail is under way
        self.ending, self.under_way = False, 0
        self.workers = [threading.Thread(target=self.work, daemon=True) for _ in range(workers)]
        for worker in self.workers:
            worker.start()

    def end(self, within):
        """Begins no new mail, and gives what is under way some seconds."""
        with self.changed:
            self.ending = True
            self.changed.notify_all()
        until = time.monotonic() + within
        for worker in self.workers:
            worker.join(max(0, until - time.monotonic()))

    def new(self):
        number, kind = next(self.numbers), random.choices(["plain", "copies", "alert"], [60, 30, 10])[0]
        people = [f"guest{n}@there{n % 5}.example" for n in random.sample(range(100), random.randrange(2, 8))]
        if kind == "alert" and self.alerts:
            series = self.alerts.pop()
            mail = Mail(number, kind, [f"operator{n}@site{n}.example" for n in range(3)], 100, f"Alert {series}", series)
        elif kind == "copies":
            mail = Mail(number, kind, people, random.choices([500, 20_000, 1_500_000], [90, 9, 1])[0], f"News {number}")
        else:
            mail = Mail(number, "plain", people[:3], random.choice([200, 2000, 50_000]), f"Word {number}")
        self.mails[mail.name] = mail
        return mail

    def take(self):
        """The next mail that is due, or a new one; None when all is done."""
        with self.changed:
            while True:
                if self.waiting and self.waiting[0][0] <= time.time():
                    mail = heapq.heappop(self.waiting)[2]
                elif not self.ending:
                    mail = self.new()
                elif self.waiting or self.under_way:
                    self.changed.wait(0.2)
                    continue
                else:
                    self.changed.notify_all()
                    return None
                self.under_way += 1
                return mail

    def give_back(self, mail, said):
        """Is done with a mail, or keeps it for another try."""
        with self.changed:
            self.under_way -= 1
            self.replies[mail.kind, said[:3] or "lost"] += 1
            if said[:1] in ("2", "5"):
                mail.told, mail.message = said, None
                if mail.series is not None:
                    self.alerts.append(mail.series)
            else:
                pause = min(8, 2 ** len(mail.tries) / 2) * random.uniform(0.8, 1.2)
                heapq.heappush(self.waiting, (time.time() + pause, mail.name, mail))
            self.changed.notify()

    def work(self):
        """Sends one mail after the other, some over the same connection."""
        connection = None
        while mail := self.take():
            begun = time.time()
            connection = connection or Connection(self.port)
            said = connection.send(mail)
            mail.tries.append(Try(begun, time.time(), connection.name, said))
            self.give_back(mail, said)
            if said[:1] != "2" or random.random() < 0.3:
                connection.close()
                connection = None
            if not said:
                time.sleep(0.1)  # perhaps nobody is there


class Connection:
    """One connection of the queue's; send says how a mail ended on it."""

    def __init__(self, port):
        self.socket, self.name, self.greeted = socket.socket(), 0, False
        self.socket.settimeout(PATIENCE)
        with contextlib.suppress(OSError):
            self.socket.connect((HOST, port))
            self.name = self.socket.getsockname()[1]
        self.file = self.socket.makefile("rb")

    def close(self):
        self.file.close()
        self.socket.close()

    def send(self, mail):
        with contextlib.suppress(OSError):
            return self.greet() or self.transact(mail)
        return ""

    def greet(self):
        """Returns a reply that ends the attempt, if there is one."""
        if self.greeted:
            return None
        said = self.reply()
        if said[:3] == "220":
            said = self.ask(b"EHLO queue.example\r\n")
        self.greeted = said[:3] == "250"
        return None if self.greeted else said

    def transact(self, mail):
        rcpts = b"".join(f"RCPT TO:<{r}>\r\n".encode() for r in mail.recipients)
        self.socket.sendall(b"MAIL FROM:<me@home.example>\r\n" + rcpts)
        replies = [self.reply() for _ in range(1 + len(mail.recipients))]
        refused = [r for r in replies if r[:1] != "2"]
        if refused:
            return refused[0]
        said = self.ask(b"DATA\r\n")
        return self.ask(mail.message + b".\r\n") if said[:3] == "354" else said

    def ask(self, what):
        self.socket.sendall(what)
        return self.reply()

    def reply(self):
        """A whole reply; a lost connection is an error."""
        text = b""
        while True:
            line = self.file.readline(10_000)
            if not line.endswith(b"\n"):
                raise ConnectionResetError
            text += line
            if line[3:4] != b"-":
                return text.decode(errors="replace")
