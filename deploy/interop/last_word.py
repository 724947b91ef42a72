"""What Postfix, as the client, does with refusals at the end of a message that
has many recipients: tried with a scripted server that takes every RCPT.
"""

import re
import threading
import time

from lab import HOST, Lab, Upstream, must, wait_until
from servers import Postfix

SENDER = "sender@example.org"
AGAIN = "451 4.3.0 Sent to 18 of 20, 2 to come: try again"
NEVER = "550 5.1.1 Sent to 18 of 20; the other 2 were refused: no such mailbox"


class Trial:
    def __init__(self, lab, name):
        self.replies, self.seen, self.busy, self.most_busy = [], [], 0, 0
        self.lock, self.lab = threading.Lock(), lab
        self.upstream = Upstream(lab, last_reply=self.reply)
        self.postfix = Postfix(lab, name, f"relayhost = [{HOST}]:{self.upstream.port}\n", "")

    def reply(self, recipients):
        """One reply after the other to what goes to guests; anything else is taken."""
        if b"guest" not in recipients[0]:
            return "250 2.0.0 Ok"
        with self.lock:
            self.busy += 1
            self.most_busy = max(self.most_busy, self.busy)
            self.seen.append(len(recipients))
            answer = self.replies.pop(0) if self.replies else "250 2.0.0 Ok"
        time.sleep(0.5)  # what else is sent at the same time?
        with self.lock:
            self.busy -= 1
        return answer

    def submit(self, recipients):
        to = [f"guest{n}@example.net" for n in range(recipients)]
        message = f"From: {SENDER}\nTo: {', '.join(to)}\nSubject: party\n\nCome.\n".encode()
        return self.postfix.sendmail(SENDER, message, *to)

    def fates(self, queue_id, want):
        """Waits until so many recipients have a status in the log, then says how many have which."""
        def found():
            lines = re.findall(rf" {queue_id}: to=<(.*?)>.* status=(\w+) \((.*)\)", self.postfix.log())
            return lines if len(lines) >= want else None
        lines = wait_until(found, f"{want} recipients of {queue_id} in the log")
        kinds = sorted({(status, text) for _, status, text in lines})
        return [f"{sum((s, t) == kind for _, s, t in lines)} x {kind[0]} ({kind[1]})" for kind in kinds]

    def queue(self):
        return must(["postqueue", "-c", self.postfix.config, "-p"])

    def bounce(self):
        found = wait_until(lambda: self.upstream.find("Undelivered Mail Returned to Sender"), "the bounce")
        return found[0].decode()


def say(title, *lines):
    print(f"\n== {title}")
    for line in lines:
        print("  " + line)


def named(bounce):
    return len(set(re.findall(r"Final-Recipient: rfc822; (\S+)", bounce)))


def try_again(lab):
    t = Trial(lab, "again")
    t.replies = [AGAIN]
    queue_id = t.submit(20)
    say(f"20 recipients, {AGAIN[:9]} at the end, then 250", *t.fates(queue_id, 20))
    listing = t.queue().splitlines()
    say("the queue in between (its first 5 of %d lines)" % len(listing), *listing[:5])
    must(["postqueue", "-c", t.postfix.config, "-f"])
    say("after the retry", *t.fates(queue_id, 40))
    messages = t.upstream.find("Subject: party")
    say("the two tries", f"recipients of each transaction: {t.seen}", f"byte for byte the same message: {messages[0] == messages[1]}",
        "Message-ID: " + str([re.search(rb"(?m)^Message-I[Dd]: .*?(?=\r)", m).group().decode() for m in messages]),
        f"bounces: {len(t.upstream.find('Undelivered'))}")


def refused(lab):
    t = Trial(lab, "refused")
    t.replies = [AGAIN, NEVER]
    queue_id = t.submit(20)
    t.fates(queue_id, 20)
    must(["postqueue", "-c", t.postfix.config, "-f"])
    say(f"20 recipients, {AGAIN[:9]}, and {NEVER[:9]} at the second try", *t.fates(queue_id, 40))
    text = t.bounce()
    head, _, report = text.partition("Content-Type: message/delivery-status")
    say(f"the bounce names {named(text)} recipients; its text begins", *head.split("\r\n\r\n", 2)[2].splitlines()[:26])
    say("its report for one of them", *report.split("\r\n\r\n")[2].splitlines())


def batches(lab):
    t = Trial(lab, "batches")
    queue_id = t.submit(120)
    t.fates(queue_id, 120)
    say("120 recipients", f"recipients of each transaction: {t.seen}", f"messages under way at the same time: {t.most_busy}")
    t.replies = [NEVER] * 3
    queue_id = t.submit(120)
    say("120 recipients, each transaction refused", *t.fates(queue_id, 120), f"recipients that the bounce names: {named(t.bounce())}",
        f"bounces: {len(t.upstream.find('Undelivered'))}")


if __name__ == "__main__":
    names = ("minimal_backoff_time maximal_backoff_time queue_run_delay maximal_queue_lifetime bounce_queue_lifetime delay_warning_time "
             "smtp_data_done_timeout default_destination_recipient_limit initial_destination_concurrency default_destination_concurrency_limit")
    say("Postfix's defaults", *must(["postconf", "-d", *names.split()]).splitlines())
    for part in (try_again, refused, batches):
        with Lab() as lab:
            part(lab)
