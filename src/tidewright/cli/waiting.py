"""A word on stderr for what takes long and cannot say how far it is: compiling kernels, starting a process."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console

AFTER_S: Final = 2.0
_AGAIN_S: Final = 30.0
_REDRAW_S: Final = 0.5


@contextmanager
def waiting(
    what: str, console: Console, *, after_s: float = AFTER_S, again_s: float = _AGAIN_S
) -> Iterator[Callable[[], None]]:
    """Say what is being waited for once that takes longer than two seconds; nothing otherwise.

    On a terminal it is a line that counts the seconds and goes away at the end; elsewhere a line, and another one
    every half minute. A thread does it, because what is waited for need not give control back.

    Parameters
    ----------
    what
        What is waited for, a noun.
    console
        On stderr: stdout is for answers.
    after_s, again_s
        Wall seconds to the first line and between further ones.

    Yields
    ------
    Callable[[], None]
        Ends it early; may be called again.
    """
    over, began = threading.Event(), time.monotonic()

    def text() -> str:
        return f"waiting for {what}: {time.monotonic() - began:.0f} s so far"

    def tell() -> None:
        if over.wait(after_s):
            return
        if not console.is_terminal:
            console.print(text())
            while not over.wait(again_s):
                console.print(text())
            return
        with console.status(text()) as status:
            while not over.wait(_REDRAW_S):
                status.update(text())

    thread = threading.Thread(target=tell, name="waiting", daemon=True)
    thread.start()

    def done() -> None:
        over.set()
        thread.join()

    try:
        yield done
    finally:
        done()
