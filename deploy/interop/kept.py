"""Postfix as the client keeps its connections, and asks with RSET whether they are
still there. The server ends each after three messages, as many do. Ten runs of
twelve mails, directly and through sendguard; the exit status is 0 where sendguard
has no more of them deferred.
"""

import re
import socket
import sys

from lab import HOST, Conversation, Lab, Upstream, sendguard, wait_until
from servers import Postfix

RUNS, MAILS = 10, 12


class Leaving(Upstream):
    """Closes a connection behind its third message, without a word."""

    def __init__(self, lab):
        super().__init__(lab)
        self.RequestHandlerClass = Leaver


class Leaver(Conversation):
    taken = 0

    def say(self, *lines):
        super().say(*lines)
        if self.taken == 3 and lines == (self.server.last_reply(()),):
            self.connection.shutdown(socket.SHUT_RDWR)

    def take(self):
        self.taken += 1
        super().take()


def deferred(lab, port):
    """How many of each run's mails Postfix had to keep for later."""
    postfix = Postfix(lab, f"client{port}", f"relayhost = [{HOST}]:{port}\nminimal_backoff_time = 1h\n", "")
    counts = []
    for _ in range(RUNS):
        ids = [postfix.sendmail("me@example.org", f"From: me@example.org\nTo: g@example.net\nSubject: {n}\n\nHello\n".encode(), "g@example.net") for n in range(MAILS)]

        def fates():
            found = re.findall(r" (\w+): to=<.*status=(\w+)", postfix.log())
            fate = {i: status for i, status in found if i in ids}
            return fate if len(fate) == len(ids) else None
        if "-v" in sys.argv:
            print("\n".join(set(re.findall(r"status=deferred (.*)", postfix.log()))))
        counts.append(sum(status != "sent" for status in wait_until(fates, "all mails have a status", 60).values()))
        postfix.forget()
    return counts


if __name__ == "__main__":
    with Lab() as lab:
        upstream, guard = Leaving(lab), lab.port()
        sendguard(lab, "sendguard", f"routes: [{{listen: '{HOST}:{guard}', upstream: {{address: '{HOST}:{upstream.port}', tls: none}}}}]\n", guard)
        directly, guarded = deferred(lab, upstream.port), deferred(lab, guard)
        print(f"of {MAILS} mails each run, deferred directly:          {directly}")
        print(f"of {MAILS} mails each run, deferred through sendguard: {guarded}")
        sys.exit(0 if sum(guarded) <= sum(directly) else 1)
