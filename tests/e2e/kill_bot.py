"""
Start and kill bots on request, run as a program of its own: `start`, `kill`, `stop`, one word a line.

Each bot is a process of its own that runs `switchroom serve`, forked from this one, which has loaded
everything already: a night with many deaths would otherwise be spent loading modules.
"""

import os
import signal
import sys

from bot.cli import main


def _start() -> int:
    pid = os.fork()
    if pid:
        return pid
    sys.argv = ["switchroom", "serve", "--no-probes"]
    try:
        main()
    finally:
        os._exit(1)


def _serve() -> None:
    pid = 0
    for line in sys.stdin:
        word = line.strip()
        if word == "start":
            pid = _start()
            continue
        os.kill(pid, {"kill": signal.SIGKILL, "stop": signal.SIGTERM}[word])
        _, status = os.waitpid(pid, 0)
        pid = 0
        sys.stdout.write(f"ended {status}\n")
        sys.stdout.flush()
    if pid:
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    _serve()
