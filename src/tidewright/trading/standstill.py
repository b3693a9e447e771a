"""Who works beside a session stands still while a cycle runs: cores share memory and caches, whatever goes first."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Neighbour(Protocol):
    """Who can be stopped for a moment; :class:`tidewright.coordination.process.ProcessBus` is one."""

    def hold(self) -> None:
        """Stand still."""
        ...

    def release(self) -> None:
        """Go on."""
        ...


class Standstill:
    """Holds a neighbour from shortly before each cycle until its end.

    Parameters
    ----------
    lead_s
        Seconds before a cycle from which on it stands still. Where a cycle comes sooner than that it is not held for
        it, so that it gets on beside cycles that follow each other closely.
    most_s
        Longest it stands still once a cycle should have begun: one that waits for a venue does not starve it.

    Attributes
    ----------
    neighbour
        Who is held; ``None``: nobody.
    """

    def __init__(self, lead_s: float = 0.0, most_s: float = 1.0) -> None:
        self._lead_s, self._most_s = lead_s, most_s
        self._timer: asyncio.TimerHandle | None = None
        self.neighbour: Neighbour | None = None

    @contextmanager
    def before(self, wait_s: float | None) -> Iterator[None]:
        """While a cycle is waited for; who gives up waiting lets the neighbour go on.

        Parameters
        ----------
        wait_s
            Seconds until it begins; ``None``: not known.
        """
        self.end()
        if wait_s is not None and wait_s >= self._lead_s and self.neighbour is not None:
            if wait_s > self._lead_s:
                self._timer = asyncio.get_running_loop().call_later(wait_s - self._lead_s, self._hold)
            else:
                self._hold()
        try:
            yield
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """The cycle is over, or none comes."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.neighbour is not None:
            self.neighbour.release()

    def _hold(self) -> None:
        assert self.neighbour is not None
        self._timer = asyncio.get_running_loop().call_later(self._lead_s + self._most_s, self.end)
        self.neighbour.hold()
