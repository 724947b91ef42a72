"""How much the log grows when clients come to nothing 10,000 times: greetings, where
the upstream is not there or refuses them, and wrong passwords.
"""

import asyncio
import base64
import contextlib
import os
import sys
import time

from lab import HOST, Lab, sendguard

TIMES = 10_000
AT_ONCE = 400
# A hash that costs nothing to try: the flood is to be the log's, not the processor's.
USERS = "ann:$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$" + "A" * 43 + "\n"
WRONG = "AUTH PLAIN " + base64.b64encode(b"\0ann\0guess").decode()


async def refusing(reader, writer):
    with contextlib.suppress(OSError, asyncio.CancelledError):  # the guard hangs up, or all ends
        await refuse(reader, writer)


async def refuse(reader, writer):
    """An upstream that refuses the greeting of who is called unwelcome, and every login."""
    writer.write(b"220 upstream ESMTP\r\n")
    while line := await reader.readline():
        if b"unwelcome" in line:
            writer.write(b"550 5.7.1 Not you\r\n")
        elif line.startswith(b"EHLO"):
            writer.write(b"250-upstream\r\n250 AUTH PLAIN\r\n")
        elif line.startswith(b"AUTH"):
            writer.write(b"535 5.7.8 No\r\n")
        else:
            writer.write(b"250 2.0.0 Ok\r\n")
    writer.close()


async def client(port, lines, code, left):
    """Connects until nothing is left to be said; each line takes one of it where its reply
    has the code."""
    while left[0] > 0:
        reader, writer = await asyncio.open_connection(HOST, port)
        await reader.readline()
        for line in lines:
            writer.write(line.encode() + b"\r\n")
            reply = b"250-"
            while reply[3:4] == b"-":
                reply = await reader.readline()
            left[0] -= reply.startswith(code)
            if left[0] <= 0 or not reply:
                break
        writer.close()


async def flood(port, lines, code):
    left = [TIMES]
    await asyncio.gather(*(client(port, lines, code, left) for _ in range(AT_ONCE)))


async def main(lab):
    upstream = await asyncio.start_server(refusing, HOST, 0)
    there, nowhere = upstream.sockets[0].getsockname()[1], lab.port()
    ports = {name: lab.port() for name in ("gone", "refuses", "users")}
    users = lab.write("users", USERS, 0o600)
    config = "routes:\n"
    for name, port, more, auth in (("gone", nowhere, "", "relay"), ("refuses", there, "", "relay"), ("users", there, f"users_file: {users}, ", "none")):
        config += f"  - {{name: {name}, listen: '{HOST}:{ports[name]}', {more}upstream: {{address: '{HOST}:{port}', tls: none, auth: {auth}}}}}\n"
    sendguard(lab, "sendguard", config + "server: {connections_per_client: 1000}\n", ports["gone"])
    log = os.path.join(lab.dir, "sendguard.log")

    print("| 10,000 times | seconds | log lines | bytes |\n|---|---|---|---|")
    bounded = True
    for what, route, lines, code, most in (
            ("EHLO, the upstream is not there", "gone", ["EHLO a.example"], b"421", None),
            ("EHLO, the upstream refuses it", "refuses", ["EHLO unwelcome.example"] * 20, b"550", None),
            ("MAIL without a login", "users", ["EHLO a.example"] + ["MAIL FROM:<a@example.org>"] * 20, b"530", None),
            ("a wrong password, told by the upstream", "refuses", ["EHLO a.example"] + [WRONG] * 100, b"535", TIMES + AT_ONCE),
            ("a wrong password, told by sendguard", "users", ["EHLO a.example"] + [WRONG] * 2, b"535", TIMES + AT_ONCE)):
        before, begun = read(log), time.monotonic()
        await flood(ports[route], lines, code)
        took = time.monotonic() - begun
        await asyncio.sleep(1.5)  # of identical lines the number is told after a second
        grown = read(log)[len(before):]
        count, most = grown.count(b"\n"), most or 4 * (took + 2)
        bounded = bounded and count <= most
        print(f"| {what} | {took:.0f} | {count} | {len(grown)} |{'' if count <= most else ' TOO MANY'}", flush=True)
    return bounded


def read(path):
    with open(path, "rb") as f:
        return f.read()


if __name__ == "__main__":
    with Lab() as lab:
        sys.exit(0 if asyncio.run(main(lab)) else 1)
