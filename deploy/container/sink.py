"""A mail server on loopback that counts what it gets, for try.py."""
import base64
import re
import socketserver
import threading
import time


class Sink(socketserver.ThreadingTCPServer):
    """Keeps of each message its number, recipient, size, and how many addresses its To
    and Cc show."""
    allow_reuse_address = daemon_threads = True
    request_queue_size = 200

    def __init__(self, port, delay=0.0):
        super().__init__(("127.0.0.1", port), Session)
        self.delay, self.lock, self.messages, self.logins = delay, threading.Lock(), [], set()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def numbers(self):
        with self.lock:
            return [m["number"] for m in self.messages]


class Session(socketserver.StreamRequestHandler):
    def say(self, text):
        self.wfile.write(text.encode() + b"\r\n")

    def handle(self):
        self.say("220 sink")
        while line := self.rfile.readline():
            verb, _, rest = line.decode().strip().partition(" ")
            verb = verb.upper()
            if verb == "EHLO":
                self.say("250-sink\r\n250-PIPELINING\r\n250-AUTH PLAIN\r\n250 SIZE 50000000")
            elif verb == "AUTH":
                password = base64.b64decode(rest.split()[1]).split(b"\0")[2].decode()
                with self.server.lock:
                    self.server.logins.add(password)
                self.say("235 2.7.0 ok" if password.startswith("right") else "535 5.7.8 no")
            elif verb == "DATA":
                self.say("354 go on")
                if not self.data():
                    return
            else:
                if verb == "RCPT":
                    self.to = rest
                self.say("221 bye" if verb == "QUIT" else "250 ok")
                if verb == "QUIT":
                    return

    def data(self):
        head, size, inside = [], 0, True
        while (line := self.rfile.readline()) != b".\r\n":
            if not line:
                return False
            size += len(line)
            inside = inside and line != b"\r\n"
            if inside:
                head.append(line.decode())
        text = "".join(head)
        shown = re.findall(r"^(?:To|Cc):((?:.|\r\n )*)", text, re.M)
        time.sleep(self.server.delay)
        with self.server.lock:
            self.server.messages.append({"number": re.search(r"^Subject: (\S+)", text, re.M)[1], "to": self.to,
                                         "size": size, "shown": sum(s.count("@") for s in shown)})
        self.say("250 2.0.0 kept")
        return True
