"""What Thunderbird makes anew when somebody presses Send again: with `action:
individual` a mail to five goes out, two of the copies fail, and the second try
must send these two alone. The exit status is 0 where each got exactly one.
"""

import collections
import re
import sys

from clients import Mail
from lab import HOST, Lab, Upstream, sendguard
from thunderbird import Thunderbird

CONFIG = """\
routes: [{{name: again, listen: "{host}:{port}", upstream: {{address: "{host}:{upstream}", tls: none}}}}]
policy: {{action: individual, limits: {{external: 1}}}}
"""

# Thunderbird turns the picture into a part with a name of its own, and a long
# line into quoted-printable.
PICTURE = ('<img src="data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==">')
BODIES = {
    "text": ("PlainText", "Grüße an alle\n"),
    "HTML with a picture": ("HTML", "<p>Grüße an <b>alle</b></p>" + PICTURE),
    "the same with a line of 1200 letters": ("HTML", "<p>" + "x" * 1200 + "</p>" + PICTURE),
}


class Written(Mail):
    body = ""

    def text(self):
        return self.body.encode()


def attempt(lab, thunderbird, kind, body):
    """Sends a mail until it is sent, and returns how many copies each got, and what was shown in between."""
    to, refused, got = [f"guest{n}@example.net" for n in range(5)], set(), collections.Counter()

    def reply(recipients):
        if recipients[0] not in refused and (b"guest1@" in recipients[0] or b"guest4@" in recipients[0]):
            refused.add(recipients[0])
            return "451 4.2.0 Mailbox busy"
        got[recipients[0]] += 1
        return "250 2.0.0 Ok"

    upstream, port = Upstream(lab, ("PIPELINING", "8BITMIME", "SIZE 0", "AUTH PLAIN"), reply), lab.port()
    sendguard(lab, f"guard{port}", CONFIG.format(host=HOST, port=port, upstream=upstream.port), port)
    mail = Written("robot@example.org", "party", to, "right")
    mail.body = body
    _, first = thunderbird(lab, port, mail, kind)
    status, second = thunderbird(lab, port, mail, kind)
    encodings = re.findall(rb"(?im)^content-transfer-encoding: (\S+)", upstream.messages[0])
    return sorted(got.values()), b", ".join(encodings).decode(), first, status, second


if __name__ == "__main__":
    wrong = 0
    with Lab() as lab:
        thunderbird = Thunderbird()
        for name, (kind, body) in BODIES.items():
            copies, encodings, first, status, second = attempt(lab, thunderbird, kind, body)
            ok = copies == [1] * 5 and "Sent to 3 of 5" in first and status == 0
            wrong += not ok
            print(f"{name} ({encodings}): copies {copies}{'' if ok else ' WRONG: ' + second}\n  first try: {' '.join(first.split())}")
    sys.exit(1 if wrong else 0)
