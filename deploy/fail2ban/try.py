"""A guesser, a colleague who mistypes once, and a program on this machine that never
gets its password right, before sendguard and fail2ban; see try.
"""

import os
import shutil
import smtplib

import ssl
import subprocess
import sys

from lab import Lab, Upstream, must, run, stop, wait_until

GUARD, GUESSER, COLLEAGUE = "192.0.2.1", "192.0.2.7", "192.0.2.8"
HERE = os.path.dirname(os.path.abspath(__file__))
CONFIG = """\
routes:
  - {{name: office, listen: "{guard}:587", allow: [192.0.2.0/24], tls: {{cert: cert.pem, key: key.pem}}, users_file: users,
     upstream: {{address: "127.0.0.1:{sink}", tls: none, auth: none}}}}
  - {{name: here, listen: "127.0.0.1:587", users_file: users, upstream: {{address: "127.0.0.1:{sink}", tls: none, auth: none}}}}
log: {{client_address: true, format: {format}}}
metrics: {{listen: "127.0.0.1:9587"}}
"""


def log_in(source, password, host=GUARD):
    """What a login came to: a code, or why there was none."""
    context = ssl._create_unverified_context()
    try:
        with smtplib.SMTP(host, 587, timeout=5, source_address=(source, 0)) as s:
            if host == GUARD:
                s.starttls(context=context)
            s.ehlo()
            try:
                return s.login("ann", password)[0]
            except smtplib.SMTPAuthenticationError as e:
                return e.smtp_code
    except (OSError, smtplib.SMTPException) as e:
        return type(e).__name__


def configure(lab, log):
    """fail2ban's own configuration with this folder's files in it, and its state in the scratch folder."""
    etc = os.path.join(lab.dir, "fail2ban")
    shutil.copytree("/etc/fail2ban", etc)
    for name in ("filter.d/sendguard.conf", "jail.d/sendguard.conf"):
        shutil.copy(os.path.join(HERE, name), os.path.join(etc, name))
    for other in os.listdir(os.path.join(etc, "jail.d")):
        if other != "sendguard.conf":
            os.remove(os.path.join(etc, "jail.d", other))
    lab.write("fail2ban/jail.local", f"[sendguard]\nbackend = polling\nlogpath = {log}\n")
    lab.write("fail2ban/fail2ban.local", f"[Definition]\nlogtarget = {lab.dir}/fail2ban.log\nsocket = {lab.dir}/f.sock\npidfile = {lab.dir}/f.pid\ndbfile = None\n")
    return etc


def trial(lab, log_format):
    sink = Upstream(lab).port
    must([os.environ["SENDGUARD"], "cert", "--dir", lab.dir, GUARD])
    users = lab.write("users", "", 0o600)
    must([os.environ["SENDGUARD"], "user", "ann", "--file", users], input=b"sesame\n")
    config = lab.write("sendguard.yaml", CONFIG.format(guard=GUARD, sink=sink, format=log_format))
    guard = lab.start("sendguard", [os.environ["SENDGUARD"], "serve", "--config", config], 587)
    etc = configure(lab, os.path.join(lab.dir, "sendguard.log"))
    client = ["fail2ban-client", "-c", etc, "-s", f"{lab.dir}/f.sock"]
    server = subprocess.Popen(["fail2ban-server", "-c", etc, "-s", f"{lab.dir}/f.sock", "-p", f"{lab.dir}/f.pid", "-f", "start"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, start_new_session=True)
    lab.exit.callback(stop, server)
    wait_until(lambda: "sendguard" in run([*client, "status"])[1], "fail2ban has the jail")

    rows = [("a colleague who mistypes once", [log_in(COLLEAGUE, "seseme"), log_in(COLLEAGUE, "sesame")], [535, 235])]
    rows.append(("a program on this machine, twelve times", [log_in("127.0.0.1", "x", "127.0.0.1") for _ in range(12)], [535] * 12))
    # smtplib tries each password twice, by PLAIN and by LOGIN
    rows.append(("a guesser, five times by two mechanisms", [log_in(GUESSER, f"guess{n}") for n in range(5)], [535] * 5))
    wait_until(lambda: GUESSER in run([*client, "status", "sendguard"])[1].split("Banned IP list:")[-1], "the guesser is banned")
    rows.append(("the guesser once more", [log_in(GUESSER, "sesame")], ["ConnectionRefusedError"]))
    rows.append(("the colleague, and this machine", [log_in(COLLEAGUE, "sesame"), log_in("127.0.0.1", "sesame", "127.0.0.1")], [235, 235]))
    status = run([*client, "status", "sendguard"])[1]
    rows.append(("who is banned", [status.split("Banned IP list:")[-1].strip()], [GUESSER]))
    print(f"== log.format: {log_format}")
    for what, got, want in rows:
        print(f"  {what:<42}{' '.join(map(str, got))}{'' if got == want else f'   NOT EXPECTED, but {want}'}")
    stop(guard)
    return all(got == want for _, got, want in rows)


if __name__ == "__main__":
    for address in (GUARD, GUESSER, COLLEAGUE):
        must(["ip", "address", "add", f"{address}/32", "dev", "lo"])
    outcomes = []
    for log_format in ("text", "json"):
        with Lab() as lab:
            outcomes.append(trial(lab, log_format))
    sys.exit(0 if all(outcomes) else 1)
