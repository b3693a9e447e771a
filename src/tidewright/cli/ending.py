"""Ctrl-C and SIGTERM while compiled code runs: the process ends within a second or so.

Python runs the handler of a signal between two steps of Python code, so a command would go on for as long as a kernel
does: a stretch of tape with thousands of lanes. The engine's kernels let go of Python's lock; a thread that hears of
the signal at once waits a moment for the command to end by itself, and then ends the process. What is being written
then has no name yet: files of results get theirs when they are whole.
"""

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NoReturn

HEARD_S: Final = 1.0  # within which Python code must have heard of the signal
CLEARED_S: Final = 5.0  # within which it must have cleared up, once it has
ENDING: Final = (signal.SIGINT, signal.SIGTERM)
_SHOW_CURSOR: Final = "\x1b[?25h"  # a progress bar hides it


class Terminated(SystemExit):
    """SIGTERM came."""


def terminate(number: int, frame: Any) -> NoReturn:
    """Handler of SIGTERM: what is half written is removed on the way out, as after Ctrl-C."""
    raise Terminated(128 + number)


@contextmanager
def prompt_ending() -> Iterator[None]:
    """While a command computes, SIGINT and SIGTERM end it soon, whatever runs."""
    heard, over = threading.Event(), threading.Event()
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)

    def told(number: int, frame: Any) -> None:
        heard.set()
        if number == signal.SIGTERM:
            terminate(number, frame)
        raise KeyboardInterrupt

    def watch() -> None:
        with ours:
            while number := ours.recv(1):  # of any signal with a handler; nothing when the command is over
                if number[0] in ENDING and not (over.wait(HEARD_S) or (heard.is_set() and over.wait(CLEARED_S))):
                    _end(number[0])

    before = {number: signal.signal(number, told) for number in ENDING}
    wakeup = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=watch, name="ending", daemon=True).start()
    try:
        yield
    finally:
        over.set()
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        theirs.close()


def _end(number: int) -> None:
    """End the process at once, with a line of what ended it."""
    said = "interrupted" if number == signal.SIGINT else f"ended by {signal.Signals(number).name}"
    try:
        shown = _SHOW_CURSOR if os.isatty(2) else ""
        os.write(2, f"{shown}\nerror: {said} while compiled code ran\n".encode())
    finally:  # also where nobody reads it any more
        os._exit(128 + number)
