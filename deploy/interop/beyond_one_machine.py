"""Three guards behind haproxy (TCP, PROXY protocol v2) with one Redis, under load, while
a guard is killed with SIGKILL every few seconds, another one reloads, and Redis is
restarted, killed and frozen. The exit status is 0 where nothing was lost and nothing
was doubled but by what RFC 1047 explains.

usage: run beyond_one_machine [--minutes N] [--workers N]
"""

import argparse
import collections
import itertools
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request

from deliveries import Account, Journal, Server
from lab import HOST, Lab, count, listens, must, wait_until
from mail_queue import MailQueue

GUARDS = (1, 2, 3)
PASSWORD = "for-this-machine-alone"
PORTS = iter(range(24000, 25000))  # below those that the system gives to connections

REDIS = """\
bind {host}
port {port}
dir {dir}
requirepass {password}
appendonly yes
appendfsync always
maxmemory 64mb
maxmemory-policy noeviction
save ""
"""

GUARD = """\
routes:
  - name: mail
    listen: "{host}:{port}"
    proxy_protocol: true
    allow: [127.0.0.0/8]
    client_auth: none
    upstream: {{address: "{host}:{upstream}", tls: none, auth: none}}
policy:
  limits: {{external: 1}}
  action: individual
  individual: {{state: "redis://:{password}@{host}:{redis}/0"}}
server: {{connections_per_client: 1000, spool_dir: "{dir}"}}
metrics: {{listen: "{host}:{metrics}"}}
"""

HAPROXY = """\
global
    log stdout format raw local0
defaults
    mode tcp
    log global
    log-format "%cp %Ts.%ms %s"
    timeout connect 5s
    timeout client 10m
    timeout server 10m
    option redispatch
listen mail
    bind {host}:{port}
    balance roundrobin
    default-server check inter 500 fall 1 rise 1 send-proxy-v2 check-send-proxy
"""


def free_port():
    return next(p for p in PORTS if not listens(p))


class Supervised:
    """A server that is started again whenever it ends, as Kubernetes and systemd do."""

    def __init__(self, lab, name, argv, port):
        self.lab, self.name, self.argv, self.port, self.ending = lab, name, argv, port, threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        lab.exit.callback(self.close)
        wait_until(lambda: listens(port), f"{name} listens")

    def run(self):
        while not self.ending.is_set():
            with open(os.path.join(self.lab.dir, self.name + ".log"), "ab") as log:
                self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.lab.dir)
            self.process.wait()
            self.ending.wait(0.3)

    def send(self, number):
        self.process.send_signal(number)

    def close(self):
        self.ending.set()
        while self.thread.is_alive():
            self.send(signal.SIGKILL)
            self.thread.join(0.5)

    def log(self):
        return self.lab.read(self.name + ".log")


class Guard(Supervised):
    def __init__(self, lab, number, journal, redis):
        self.number, self.metrics = number, free_port()
        self.values = {"host": HOST, "port": free_port(), "metrics": self.metrics, "redis": redis, "password": PASSWORD,
                       "upstream": Server(lab, journal, number).port, "dir": lab.folder(f"spool{number}")}
        path = lab.write(f"guard{number}.yaml", GUARD.format(**self.values))
        super().__init__(lab, f"guard{number}", [os.environ["SENDGUARD"], "serve", "--config", path], self.values["port"])

    def reload(self, level):
        """Has it read another configuration."""
        self.lab.write(f"guard{self.number}.yaml", GUARD.format(**self.values) + f"log: {{level: {level}}}\n")
        self.send(signal.SIGHUP)


class Cluster:
    """All that runs, and what is done to it."""

    def __init__(self, lab):
        self.lab = lab
        self.journal = Journal({})
        redis = free_port()
        conf = lab.write("redis.conf", REDIS.format(host=HOST, port=redis, dir=lab.folder("redis"), password=PASSWORD))
        self.redis = Supervised(lab, "redis", ["redis-server", conf], redis)
        self.guards = [Guard(lab, n, self.journal, redis) for n in GUARDS]
        self.port = free_port()
        servers = "".join(f"    server guard{g.number} {HOST}:{g.port}\n" for g in self.guards)
        conf = lab.write("haproxy.cfg", HAPROXY.format(host=HOST, port=self.port) + servers)
        self.haproxy = Supervised(lab, "haproxy", ["haproxy", "-db", "-f", conf], self.port)
        self.kills, self.done = [], collections.Counter()
        self.frozen = None

    def quiet(self, seconds):
        """What haproxy's checks alone make of log lines and faults, and how many sessions they are."""
        before = [len(g.log()) for g in self.guards]
        time.sleep(seconds)
        lines = sum(g.log()[n:].count("\n") for g, n in zip(self.guards, before))
        faults = sum(count_all(g.metrics, "sendguard_session_faults_total") for g in self.guards)
        checks = sum(count(g.metrics, 'sendguard_sessions_total{route="mail"}') for g in self.guards)
        return lines, faults, checks

    def trouble(self, seconds):
        """Makes trouble for so long."""
        until, redis = time.time() + seconds, time.time() + 8
        faults = itertools.cycle([self.restart, self.freeze(1), self.kill_redis, self.freeze(4), self.restart, self.freeze(8), self.kill_redis, self.freeze(35)])
        while time.time() < until:
            time.sleep(random.uniform(1.5, 3.5))
            victim, other = random.sample(self.guards, 2)
            self.kill(victim)
            if random.random() < 0.5:
                other.reload(random.choice(["info", "warn"]))
                self.done["reloads"] += 1
            if time.time() > redis and not (self.frozen and self.frozen.is_alive()):
                next(faults)()
                redis = time.time() + 15
        if self.frozen:
            self.frozen.join()

    def kill(self, guard):
        if guard.process.poll() is None and listens(guard.port):
            self.kills.append((time.time(), guard.number))
            guard.send(signal.SIGKILL)
            self.done["guards killed"] += 1

    def restart(self):
        self.redis.send(signal.SIGTERM)
        self.done["Redis restarted"] += 1

    def kill_redis(self):
        self.redis.send(signal.SIGKILL)
        self.done["Redis killed"] += 1

    def freeze(self, seconds):
        def begin():
            self.redis.send(signal.SIGSTOP)
            self.done[f"Redis frozen for {seconds} s"] += 1
            self.frozen = threading.Timer(seconds, self.redis.send, [signal.SIGCONT])
            self.frozen.start()
        return begin

    def ways(self):
        """Returns a function that says which guard haproxy gave a try to; None where to none."""
        sessions = collections.defaultdict(list)
        for port, at, server in re.findall(r"(?m)^(\d+) (\d+\.\d+) guard(\d)$", self.haproxy.log()):
            sessions[int(port)].append((float(at), int(server)))

        def way(attempt):
            accepted = [s for s in sessions[attempt.port] if s[0] <= attempt.ended]
            return max(accepted)[1] if accepted else None
        return way

    def remembered(self):
        """How many records of sends Redis has."""
        keys = must(["redis-cli", "-p", str(self.redis.port), "--no-auth-warning", "-a", PASSWORD, "--scan"])
        return keys.count(":sent:")


def count_all(metrics, name):
    with urllib.request.urlopen(f"http://{HOST}:{metrics}/metrics", timeout=10) as r:
        return sum(float(v) for v in re.findall(rf"(?m)^{name}{{.*}} (\S+)$", r.read().decode()))


def report(cluster, queue, account):
    """Prints what happened. Returns whether all is as it must be."""
    mails = collections.Counter(m.kind for m in queue.mails.values())
    copies = sum(len(d) for d in cluster.journal.arrived.values())
    print(f"mails: {sum(mails.values())} ({', '.join(f'{n} {k}' for k, n in sorted(mails.items()))}), {copies} deliveries")
    print(f"tries: {sum(queue.replies.values())}, by what they ended with: " + ", ".join(f"{kind} {code} {n}" for (kind, code), n in sorted(queue.replies.items())))
    print("done to them: " + ", ".join(f"{what} {n}" for what, n in sorted(cluster.done.items())))
    print(f"mails that were tried at more than one guard: {account.moved}; whose recipients got theirs from more than one: {account.shared}")
    print(f"lost: {len(account.lost)}, still waiting: {len(account.waiting)}, refused: {len(account.refused)}, arrived wrong: {len(cluster.journal.wrong)}")
    print(f"records that Redis has left: {cluster.remembered()}")
    doubled = sum(account.doubled.values(), [])
    print(f"doubled: {len(doubled)} of {copies}, not explained: {len(account.unexplained)}")
    for cause, names in sorted(account.doubled.items()):
        print(f"  {cause}: {', '.join(names)}")
    bad = account.lost + account.waiting + account.refused + cluster.journal.wrong + account.unexplained
    bad += [line for g in cluster.guards for line in g.log().splitlines() if "internal error" in line or "panic" in line]
    for line in bad[:50]:
        print("PROBLEM:", line)
    return not bad


def main():
    parser = argparse.ArgumentParser(prog="run beyond_one_machine")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--workers", type=int, default=16)
    args = parser.parse_args()
    with Lab() as lab:
        cluster = Cluster(lab)
        lines, faults, checks = cluster.quiet(5)
        print(f"haproxy's checks alone, 5 s: {lines} log lines, {faults:.0f} faults, {checks} sessions", flush=True)
        queue = MailQueue(cluster.port, args.workers, cluster.journal.mails)
        cluster.trouble(60 * args.minutes)
        queue.end(150)
        account = Account(cluster.journal, cluster.kills, cluster.ways())
        good = report(cluster, queue, account)
        if os.environ.get("KEEP"):
            must(["cp", "-r", lab.dir, os.environ["KEEP"]])
        return 0 if good and not lines and not faults else 1


if __name__ == "__main__":
    sys.exit(main())
