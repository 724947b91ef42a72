"""What a program shows on a terminal of 80 columns and 24 rows, and mutt on one."""

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time

CONTROL = re.compile(rb"\x1b(?:\[[0-9;?]*[A-Za-z]|[()][A-Z0-9]|[=>])|[\x00-\x1f\x7f]+")


class Screen:
    """A program on a terminal of its own. At its end the program is gone."""

    def __init__(self, argv, env):
        self.process, self.terminal = pty.fork()
        if self.process == 0:
            os.execvpe(argv[0], argv, env)
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))

    def __enter__(self):
        return self

    def __exit__(self, *error):
        os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)
        os.close(self.terminal)

    def press(self, keys):
        os.write(self.terminal, keys)

    def until(self, text, seconds=20):
        """Waits until a text is on the screen, and for what is drawn along with it.
        Returns all that was drawn, as words parted by blanks."""
        drawn, end = b"", time.monotonic() + seconds
        while time.monotonic() < end:
            found = text in drawn
            if not select.select([self.terminal], [], [], 0.5)[0]:
                if found:
                    return CONTROL.sub(b" ", drawn).decode(errors="replace")
                continue
            with contextlib.suppress(OSError):
                drawn += os.read(self.terminal, 65536)
        raise TimeoutError(f"not on the screen within {seconds} s: {text!r}; but {drawn!r}")


def mutt_on_screen(argv, env):
    """Sends what mutt has in its compose menu. Returns what it says below it, and its
    list of errors."""
    with Screen(argv, env | {"TERM": "vt100"}) as mutt:
        mutt.until(b"y:Send")
        mutt.press(b"y")
        said = mutt.until(b"SMTP session failed")
        mutt.press(b"E")
        return said[said.rindex("SMTP session"):], mutt.until(b"Error History")
