"""What the interop scripts share: a scratch folder with everything that was
started in it, a scripted SMTP server, a tap on the client's connection, and
sendguard in front of servers. Standard library only; 127.0.0.1 only.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import socketserver
import subprocess
import tempfile
import threading
import time
import urllib.request

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
UNPACKED = os.environ.get("INTEROP_UNPACKED", "/nonexistent")  # see install
HOST = "127.0.0.1"
REFUSAL = "Not sent: every recipient would see 43 addresses"


class Lab:
    """A scratch folder and the processes in it. At its end all are gone."""

    def __enter__(self):
        for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(name, lambda number, frame: exit(128 + number))
        self.dir = tempfile.mkdtemp(prefix="sendguard-interop.")
        os.chmod(self.dir, 0o755)  # the servers' own users look into it
        self.exit = contextlib.ExitStack()
        self.exit.callback(shutil.rmtree, self.dir, ignore_errors=True)
        self.ports = set()
        return self

    def __exit__(self, *error):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # let the end be an end
        self.exit.close()

    def port(self):
        """A free port on loopback, not given out before."""
        while True:
            with socket.socket() as s:
                s.bind((HOST, 0))
                port = s.getsockname()[1]
            if port not in self.ports:
                self.ports.add(port)
                return port

    def folder(self, *names):
        path = os.path.join(self.dir, *names)
        os.makedirs(path, exist_ok=True)
        return path

    def write(self, name, content, mode=0o644):
        """Writes a file into the scratch folder and returns its path."""
        path = os.path.join(self.dir, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(content if isinstance(content, bytes) else content.encode())
        os.chmod(path, mode)
        return path

    def read(self, name):
        with contextlib.suppress(FileNotFoundError), open(os.path.join(self.dir, name), errors="replace") as f:
            return f.read()
        return ""

    def path_of_others(self, path, mode=0o711):
        """A folder outside of scratch that a program insists on. It is removed
        at the end if it was not there before."""
        if not os.path.exists(path):
            top = path
            while not os.path.exists(os.path.dirname(top)):
                top = os.path.dirname(top)
            os.makedirs(path)
            os.chmod(path, mode)
            self.exit.callback(shutil.rmtree, top, ignore_errors=True)

    def start(self, name, argv, port, env=None):
        """Starts a server in the foreground and waits until it listens."""
        log = open(os.path.join(self.dir, name + ".log"), "ab")
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, cwd=self.dir, start_new_session=True)
        log.close()
        self.exit.callback(stop, process)
        try:
            wait_until(lambda: listens(port) or process.poll() is not None, f"{name} listens")
            if process.poll() is not None:
                raise RuntimeError(f"{name} ended at once")
        except Exception:
            print(self.read(name + ".log"))
            raise
        return process


def stop(process, patience=10):
    """Ends a process that Lab started, and its children."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(patience)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(patience)


def run(argv, timeout=40, **more):
    """Runs a program to its end. Returns its exit status and all that it said."""
    more.setdefault("stdin", subprocess.DEVNULL if "input" not in more else None)
    if more["stdin"] is None:
        del more["stdin"]
    try:
        p = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout, check=False, **more)
    except subprocess.TimeoutExpired as e:
        return None, (e.stdout or b"").decode(errors="replace") + f"\n[no end within {timeout} s]"
    return p.returncode, p.stdout.decode(errors="replace")


def must(argv, **more):
    status, output = run(argv, **more)
    if status != 0:
        raise RuntimeError(f"{' '.join(argv)}: exit status {status}\n{output}")
    return output


def listens(port):
    with socket.socket() as s:
        s.settimeout(1)
        return s.connect_ex((HOST, port)) == 0


def wait_until(condition, what, seconds=30):
    """Waits for a condition and returns its value."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise TimeoutError(f"not within {seconds} s: {what}")


class Upstream(socketserver.ThreadingTCPServer):
    """A scripted SMTP server: announces what it is told to, takes everything,
    and keeps the command lines and the messages (as they were before dot-stuffing,
    CRLF included) that reach it."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, lab, extensions=("PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "SIZE 0"), last_reply=None):
        super().__init__((HOST, 0), Conversation)
        self.port = self.server_address[1]
        self.extensions = extensions
        self.last_reply = last_reply or (lambda recipients: "250 2.0.0 Ok: taken by the sink")
        self.lines, self.messages = [], []
        threading.Thread(target=self.serve_forever, daemon=True).start()
        lab.exit.callback(self.server_close)
        lab.exit.callback(self.shutdown)

    def handle_error(self, request, client_address):
        pass  # a client that went away

    def find(self, text):
        """The messages that hold a text."""
        return [m for m in list(self.messages) if text.encode() in m]


class Conversation(socketserver.StreamRequestHandler):
    timeout = 120

    def say(self, *lines):
        for i, line in enumerate(lines):
            mark = "-" if i < len(lines) - 1 else " "
            self.wfile.write(f"{line[:3]}{mark}{line[4:]}\r\n".encode())

    def handle(self):
        self.recipients = []
        self.say("220 upstream ESMTP")
        for line in self.rfile:
            self.server.lines.append(line)
            words = line.decode(errors="replace").split()
            verb = words[0].upper() if words else ""
            if verb == "EHLO":
                self.say("250 upstream", *(f"250 {e}" for e in self.server.extensions))
            elif verb == "AUTH":
                self.say("235 2.7.0 Logged in")
            elif verb == "DATA":
                self.take()
            elif verb == "QUIT":
                self.say("221 2.0.0 Bye")
                return
            elif verb in ("HELO", "MAIL", "RCPT", "RSET", "NOOP", "XFORWARD", "XCLIENT", "VRFY", "ETRN"):
                if verb == "RCPT":
                    self.recipients.append(line)
                elif verb != "NOOP":
                    self.recipients = []
                self.say("250 2.0.0 Ok")
            else:
                self.say("500 5.5.2 What?")

    def take(self):
        self.say("354 Go on")
        message = []
        for line in self.rfile:
            if line == b".\r\n":
                self.server.messages.append(b"".join(message))
                self.say(self.server.last_reply(self.recipients))
                self.recipients = []
                return
            message.append(line[1:] if line.startswith(b".") else line)


class Tap(socketserver.ThreadingTCPServer):
    """Stands between client and guard and keeps what either says: the proof of
    what was handed over, and of what the client was told."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, lab, port):
        super().__init__((HOST, 0), Relay)
        self.port = self.server_address[1]
        self.onward = port
        self.clear()
        threading.Thread(target=self.serve_forever, daemon=True).start()
        lab.exit.callback(self.close)

    def close(self):
        """Takes no further connections."""
        self.shutdown()
        self.server_close()

    def clear(self):
        self.client, self.server = bytearray(), bytearray()

    def handle_error(self, request, client_address):
        pass

    def messages(self):
        """What the client handed over: messages without their dot-stuffing."""
        found = re.findall(rb"(?:\A|\n)DATA\r\n(.*?\r\n)\.\r\n", bytes(self.client), re.S | re.I)
        return [re.sub(rb"(\A|\r\n)\.", rb"\1", m) for m in found]

    def mechanism(self):
        found = re.search(rb"^AUTH (\S+)", bytes(self.client), re.M)
        return found.group(1).decode() if found else ""

    def reply(self, code):
        """The first line with this code that the client was told."""
        found = re.search(rb"^%d[ -].*(?=\r\n)" % code, bytes(self.server), re.M)
        return found.group(0).decode() if found else ""


class Relay(socketserver.BaseRequestHandler):
    def handle(self):
        with socket.create_connection((HOST, self.server.onward)) as onward:
            back = threading.Thread(target=pump, args=(onward, self.request, self.server.server), daemon=True)
            back.start()
            pump(self.request, onward, self.server.client)
            back.join(60)


def pump(source, target, record):
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            record += data
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def sendguard(lab, name, config, port):
    """Starts sendguard, built from this repository. Returns its process and the
    port of its metrics."""
    metrics = lab.port()
    path = lab.write(name + ".yaml", config + f"metrics: {{listen: {HOST}:{metrics}}}\n")
    return lab.start(name, [os.environ["SENDGUARD"], "serve", "--config", path], port), metrics


def count(metrics, sample):
    """The value of a sample of sendguard's metrics."""
    with urllib.request.urlopen(f"http://{HOST}:{metrics}/metrics", timeout=10) as r:
        for line in r.read().decode().splitlines():
            if line.startswith(sample + " "):
                return int(float(line.split()[-1]))
    return 0
