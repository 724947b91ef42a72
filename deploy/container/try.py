"""What `try` does: runs the image and prints figures."""
import collections
import os
import pathlib
import signal
import smtplib
import subprocess
import sys
import threading
import time

from sink import Sink

IMAGE, WORK = sys.argv[1], pathlib.Path(sys.argv[2])
GUARD, METRICS, UPSTREAM = 1587, 9587, 2525
HOW = ["--runtime", "runc", "--cgroup-manager", "cgroupfs", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", "--network", "host",
       "--read-only", "--read-only-tmpfs=false", "--cap-drop", "all", "--security-opt", "no-new-privileges"]


def podman(*args, status=0):
    """Runs a command, and returns what it says."""
    done = subprocess.run(["podman", *args], capture_output=True, text=True, timeout=300)
    said = (done.stdout + done.stderr).strip()
    if status is not None and done.returncode != status:
        sys.exit(f"FAILED: podman {' '.join(args)}: {done.returncode}: {said}")
    return said


def must(holds, what):
    if not holds:
        sys.exit(f"FAILED: {what}")
    print("ok  ", what, flush=True)


def until(holds, what, within=60):
    end = time.monotonic() + within
    while not holds():
        if time.monotonic() > end:
            sys.exit(f"FAILED: not within {within} s: {what}\n{podman('logs', 'guard', status=None)}")
        time.sleep(0.05)


def start(*args):
    podman("run", *HOW, "--detach", "--name", "guard", *args, IMAGE)
    until(lambda: podman("exec", "guard", "sendguard", "healthcheck", "--address", f"127.0.0.1:{METRICS}", status=None) == "ready", "the health check")


def end():
    podman("rm", "--force", "guard")


def process():
    return int(podman("inspect", "--format", "{{.State.Pid}}", "guard"))


def about(pid, key):
    """A line of /proc/PID/status."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return line.split(":")[1].split()


def send(number, shown, size=0, timeout=120):
    """Sends one message that shows so many addresses; returns the code of the last reply."""
    to = [f"person{n}@example.org" for n in range(shown)]
    text = f"From: me@example.com\r\nTo: {', '.join(to)}\r\nSubject: {number} \r\n\r\n" + ("x" * 76 + "\r\n") * (size // 78)
    client = None
    try:
        client = smtplib.SMTP("127.0.0.1", GUARD, timeout=timeout)
        client.sendmail("me@example.com", to, text)
    except smtplib.SMTPResponseException as refused:
        return refused.smtp_code
    except smtplib.SMTPRecipientsRefused as refused:
        return next(iter(refused.recipients.values()))[0]
    except (OSError, smtplib.SMTPServerDisconnected):
        return 0
    finally:
        if client:
            client.close() # without QUIT, whose answer is none to the message
    return 250


def config(limit=10, action="reject", more=""):
    return f"""routes:
  - name: main
    listen: 127.0.0.1:{GUARD}
    upstream: {{address: "127.0.0.1:{UPSTREAM}", tls: none, auth: login, username: robot, password_file: /run/secrets/smtp, max_idle_connections: 50}}
policy: {{limits: {{external: {limit}}}, action: {action}, individual: {{state: "bolt:/var/lib/sendguard/sends"}}}}
server: {{watch_config: true}}
{more}"""


def mounted():
    """A folder with a configuration and a secret, and how to mount them."""
    folder = WORK / "config"
    folder.mkdir(exist_ok=True)
    secret = WORK / "smtp"
    secret.write_text("right\n")
    os.chown(secret, 65532, 65532)
    secret.chmod(0o400)
    return folder, ["--volume", f"{folder}:/etc/sendguard:ro", "--volume", f"{secret}:/run/secrets/smtp:ro"]


def put(folder, text):
    """Has another configuration take the place of the one before, as editors do."""
    new = folder / "new"
    new.write_text(text)
    new.rename(folder / "config.yaml")


def by_environment(sink):
    """The simplest use: no file, one variable."""
    said = podman("run", *HOW, "--rm", IMAGE, status=2)
    must('no variable "SENDGUARD_UPSTREAM"' in said, f"without SENDGUARD_UPSTREAM it says so: {said}")
    start("--env", f"SENDGUARD_UPSTREAM=127.0.0.1:{UPSTREAM}", "--env", "SENDGUARD_UPSTREAM_TLS=none")
    must(send("small", 1) == 250 and send("wide", 11) == 550 and sink.numbers() == ["small"], "one address passes, eleven are refused")
    pid = process()
    must(about(pid, "Uid") == ["65532"] * 4 and about(pid, "CapEff") == ["0" * 16], "it runs as 65532, without capabilities")
    must("executable file not found" in podman("exec", "guard", "sh", status=None), "there is no shell")
    begun = time.monotonic()
    podman("stop", "--time", "30", "guard")
    must(podman("inspect", "--format", "{{.State.ExitCode}}", "guard") == "0", f"idle, it stops in {time.monotonic() - begun:.1f} s, podman's time included, with status 0")
    end()


def reloads(folder, mounts):
    put(folder, config())
    start(*mounts)
    for n, (how, change) in enumerate({
        "a signal (podman kill --signal HUP)": lambda: podman("kill", "--signal", "HUP", "guard"),
        "sendguard reload in the container": lambda: podman("exec", "guard", "sendguard", "reload"),
        "a file that takes the place of the one before": lambda: put(folder, config(limit=3)),
        "a link that changes, as in a ConfigMap": lambda: link(folder, config(limit=2)),
    }.items()):
        begun = time.monotonic()
        change()
        until(lambda: podman("logs", "guard").count("configuration loaded again") == n + 1, how)
        print(f"ok   reload by {how}: seen in the log after {time.monotonic() - begun:.1f} s, podman's time included", flush=True)
    must([send("three", 3), send("two", 2)] == [550, 250], "what the last file says is in force")
    (folder / "config.yaml").unlink()
    put(folder, config().replace("limits", "limit"))
    until(lambda: "policy.limit: unknown key" in podman("logs", "guard"), "the mistake")
    must([send("three", 3), send("two", 2)] == [550, 250], "a file with a mistake changes nothing: " + podman("logs", "guard").splitlines()[-3].partition("error=")[2])
    end()


def link(folder, text):
    version = folder / "..1"
    version.mkdir()
    (version / "config.yaml").write_text(text)
    (folder / "..data").symlink_to("..1")
    (folder / "as_linked").symlink_to("..data/config.yaml")
    (folder / "as_linked").rename(folder / "config.yaml")


def stop_under_load(sink, folder, mounts, senders=8, seconds=10):
    """Stops the guard while mail goes through, starts it, and sends what was not taken."""
    put(folder, config())
    start(*mounts)
    sink.delay = 0.02
    told, stopping = {}, threading.Event()

    def sender(which):
        n = 0
        while not stopping.is_set():
            number = f"{which}-{n}"
            n += 1
            told[number] = send(number, 1, size=20000)

    threads = [threading.Thread(target=sender, args=(n,)) for n in range(senders)]
    for t in threads:
        t.start()
    time.sleep(seconds)
    before, begun = len(told), time.monotonic()
    podman("stop", "--time", "30", "guard")
    took = time.monotonic() - begun
    stopping.set()
    for t in threads:
        t.join()
    status = podman("inspect", "--format", "{{.State.ExitCode}}", "guard")
    taken, count = {n for n, code in told.items() if code == 250}, collections.Counter(n for n in sink.numbers() if "-" in n)
    lost, twice, untold = taken - set(count), {n for n in count if count[n] > 1}, set(count) - taken
    must(status == "0" and "msg=stopped" in podman("logs", "guard") and before > senders and not lost and not twice and not untold,
         f"a stop under load: {senders} senders, {before} messages before it, {len(told)} tries in all, {len(taken)} taken and {len(count)} arrived, "
         f"{len(lost)} lost, {len(twice)} twice, {len(untold)} arrived and not told; {took:.1f} s, status {status}")
    podman("start", "guard")
    until(lambda: podman("exec", "guard", "sendguard", "healthcheck", status=None) == "ready", "the health check")
    away = [n for n, code in told.items() if code in (421, 451)]
    must(all(send(n, 1) == 250 for n in away) and max(collections.Counter(n for n in sink.numbers() if "-" in n).values()) == 1,
         f"after a start the {len(away)} that were turned away with 4xx go through, and nothing arrived twice")
    sink.delay = 0
    end()


def insist(number, shown, size):
    """Sends a message again as mail servers do while the answer is 4xx (the time budget of
    individual is over); returns how often."""
    for tries in range(1, 10):
        code = send(number, shown, size, timeout=600)
        if code != 451:
            return tries if code == 250 else sys.exit(f"FAILED: {number}: {code}")
    sys.exit(f"FAILED: {number}: 451 again and again")


def individual(sink, folder, mounts, messages=5, recipients=12, size=10 << 20):
    """Large messages to many under a read-only root."""
    put(folder, config(limit=1, action="individual"))
    start(*mounts)
    pid, tries = process(), []
    begun = time.monotonic()
    threads = [threading.Thread(target=lambda n=n: tries.append(insist(f"large{n}", recipients, size))) for n in range(messages)]
    for t in threads:
        t.start()
    spooled = 0
    while any(t.is_alive() for t in threads):
        spooled = max(spooled, deleted_bytes(pid))
        time.sleep(0.2)
    took = time.monotonic() - begun
    copies = [m for m in sink.messages if m["number"].startswith("large")]
    must(len(tries) == messages and len({(m["number"], m["to"]) for m in copies}) == len(copies) == messages * recipients and all(m["shown"] == 1 for m in copies),
         f"individual under a read-only root: {messages} messages of {size >> 20} MiB to {recipients} each at once, {len(copies)} copies, each shows one address, {sum(tries)} tries; "
         f"{took:.1f} s, {int(about(pid, 'VmHWM')[0]) >> 10} MiB of memory at most, {spooled >> 20} MiB in its folder")
    changed = [line for line in podman("diff", "guard").splitlines() if line.split()[1] not in ("/etc", "/etc/passwd", "/etc/group", "/run", "/run/secrets", "/run/secrets/smtp")]
    must(not changed, f"nothing else was written ({changed})")
    second_signal(sink, folder, pid)


def deleted_bytes(pid):
    """What a process holds of files in its folder that have no name any more."""
    total = 0
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            if "/var/lib/sendguard/" in os.readlink(fd):
                total += fd.stat().st_size
        except OSError:
            pass
    return total


def second_signal(sink, folder, pid):
    """Process 1 has no default for signals; a second one ends it all the same."""
    sink.delay = 60
    threading.Thread(target=send, args=("held", 1), daemon=True).start()
    until(lambda: "held" not in sink.numbers() and about(pid, "Threads") and open_to_sink(pid), "a message under way")
    begun = time.monotonic()
    os.kill(pid, signal.SIGTERM)
    until(lambda: "msg=\"stopping when" in podman("logs", "guard"), "the stop")
    os.kill(pid, signal.SIGTERM)
    until(lambda: not pathlib.Path(f"/proc/{pid}").exists(), "the end")
    must(time.monotonic() - begun < 24, f"a second signal ends it at once, with a message under way: {time.monotonic() - begun:.1f} s")
    end()


def open_to_sink(pid):
    return f":{UPSTREAM:04X}" in pathlib.Path(f"/proc/{pid}/net/tcp").read_text()


def main():
    sink = Sink(UPSTREAM)
    folder, mounts = mounted()
    try:
        by_environment(sink)
        reloads(folder, mounts)
        must(sink.logins == {"right"}, "it logged in with the secret of its file")
        stop_under_load(sink, folder, mounts)
        individual(sink, folder, mounts)
    finally:
        podman("rm", "--force", "--ignore", "guard", status=None)
    print("all passed")


main()
