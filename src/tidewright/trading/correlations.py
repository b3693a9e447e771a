"""Whether what should move together still does, while a session trades: alarms on correlations of live series.

Other instruments are read from their tapes, also such that another session or a recorder still writes. The session's
own mid and theirs are taken at each decision time; two of them that raise an alarm are a risk event, told once when it
begins and once when it is over. After a restart the steps before it are read from the tapes again.
"""

import logging
import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tidewright.agents.optimizer.fold import BookFold
from tidewright.market.errors import TidewrightError
from tidewright.market.tape import Tape
from tidewright.risk.correlation import Alarm, Watch, alarms, correlations, ewma_covariance
from tidewright.trading.book import Book
from tidewright.trading.past import mids2

logger = logging.getLogger(__name__)

_KEPT: Final = 1_000
_LEAST: Final = 3
_STALE_CYCLES: Final = 3

Tell = Callable[[int, dict[str, Any]], None]


class Correlations:
    """Keeps the newest returns of some series and watches their correlations.

    Parameters
    ----------
    names
        Of the series.
    tell
        Journals one risk event: time and the event's data.

    Attributes
    ----------
    now
        Alarms at the newest returns.
    """

    def __init__(self, names: tuple[str, ...], tell: Tell, watch: Watch | None = None) -> None:
        self.names, self._tell, self._watch = names, tell, watch or Watch()
        self._rows: deque[list[float]] = deque(maxlen=_KEPT)
        self.now: list[Alarm] = []

    @property
    def lost(self) -> int:
        """Pairs whose correlation has gone."""
        return sum(alarm.kind == "lost" for alarm in self.now)

    def matrix(self) -> npt.NDArray[np.float64]:
        """The newest steps, (n, k), oldest first."""
        return np.array(self._rows, np.float64).reshape(-1, len(self.names))

    def add(self, now_ns: int, returns: Mapping[str, float]) -> None:
        """Take in one step of every series; a step in which one is not known is left out."""
        row = [returns.get(name, math.nan) for name in self.names]
        if not all(map(math.isfinite, row)):
            return
        self._rows.append(row)
        if len(self._rows) < _LEAST:
            return
        before = {(alarm.first, alarm.second, alarm.kind) for alarm in self.now}
        self.now = alarms(np.array(self._rows), self.names, self._watch)
        there = {(alarm.first, alarm.second, alarm.kind): alarm for alarm in self.now}
        for key, alarm in there.items():
            if key not in before:
                self._tell(
                    now_ns,
                    {
                        "event": "alarm",
                        "rule": "correlation",
                        "cause": alarm.text(),
                        "value": alarm.now,
                        "limit": alarm.before,
                    },
                )
        for first, second, kind in before - set(there):
            cause = f"correlation of {first} and {second}: the alarm '{kind}' is over"
            self._tell(now_ns, {"event": "lifted", "rule": "correlation", "cause": cause})

    def recall(self, steps: Iterable[Mapping[str, float]]) -> None:
        """Take in steps of before a restart: alarms that they raise were told then."""
        rows = ([step.get(name, math.nan) for name in self.names] for step in steps)
        self._rows.extend(row for row in rows if all(map(math.isfinite, row)))
        if len(self._rows) >= _LEAST:
            self.now = alarms(np.array(self._rows), self.names, self._watch)

    def rows(self) -> list[dict[str, Any]]:
        """Pairs and their correlation now, for screens; none before there is anything to measure."""
        if len(self._rows) < _LEAST:
            return []
        matrix = correlations(ewma_covariance(np.array(self._rows), self._watch.fast))
        kinds = {(alarm.first, alarm.second): alarm.kind for alarm in self.now}
        count = len(self.names)
        return [
            {"first": a, "second": b, "now": float(matrix[i, j]), "alarm": kinds.get((a, b), "")}
            for i, a in enumerate(self.names)
            for j, b in enumerate(self.names)
            if i < j < count
        ]


class _Other:
    """The mid of another instrument, followed along its tape."""

    def __init__(self, path: Path) -> None:
        self._path, self._book, self._row = path, Book(), -1
        self._tick = math.nan
        self.wrong = ""
        self.price = math.nan  # the last known, however old: what is held does not vanish; NaN: there has been none

    def recall(self, times: Sequence[int], stale_ns: int) -> list[int]:
        """What :meth:`mid2` would have told at times of the past, rising; before anything else is asked."""
        tape = self._open()
        if tape is None or not times:
            return [0] * len(times)
        fold = BookFold()
        found = mids2(tape.data, times, stale_ns, fold)
        self._begin(fold)
        return found

    def _begin(self, fold: BookFold) -> None:
        """Go on from a book of the past."""
        self._book.apply(fold.snapshot())
        self._row = fold.row

    def mid2(self, now_ns: int, stale_ns: int) -> int:
        """Twice the mid known at a time, ticks; 0 where it is not known, or older than allowed."""
        found = self._mid2(now_ns, stale_ns)
        if self._book.last_mid2:
            self.price = self._book.last_mid2 * 0.5 * self._tick
        return found

    def _open(self) -> Tape | None:
        try:
            tape = Tape.open(self._path)
        except (TidewrightError, OSError) as error:
            if not self.wrong:
                logger.warning("correlations: %s", error)
            self.wrong = str(error)
            return None
        self.wrong, self._tick = "", float(tape.instrument.tick)
        return tape

    def _mid2(self, now_ns: int, stale_ns: int) -> int:
        tape = self._open()
        if tape is None:
            return 0
        if self._row < 0:  # all of the past at once
            fold = BookFold()
            fold.advance(tape.data, now_ns)
            self._begin(fold)
        known = self._row + int(np.searchsorted(tape.data.ts[self._row :], now_ns, side="right"))
        if known > self._row:
            self._book.apply(tape.data.rows(self._row, known))
            self._row = known
        market = self._book.now()
        fresh = now_ns - self._book.last_ns <= stale_ns
        return market.mid2 if market.whole and fresh else 0


class OtherMarkets:
    """Other instruments beside the session's own.

    Parameters
    ----------
    own
        Name of the session's instrument.
    tapes
        Folder of each other instrument's tape, by name.
    """

    def __init__(
        self, own: str, tapes: Mapping[str, str], cycle_ns: int, tell: Tell, watch: Watch | None = None
    ) -> None:
        self._own = own
        self._others = {name: _Other(Path(path)) for name, path in tapes.items()}
        self._stale_ns = _STALE_CYCLES * cycle_ns
        self._last: dict[str, int] = {}
        self._last_ns = 0
        self.correlations = Correlations((own, *self._others), tell, watch)

    def price(self, name: str) -> float:
        """The last known mid of another instrument, in its quote; NaN where there has never been one."""
        return self._others[name].price

    def returns(self, names: Sequence[str]) -> npt.NDArray[np.float64]:
        """Returns a cycle of some of the instruments, (n, k), oldest first: of steps in which all were known."""
        columns = [self.correlations.names.index(name) for name in names]
        return self.correlations.matrix()[:, columns]

    def recall(self, own: Sequence[tuple[int, int]]) -> None:
        """Take in decision times before a restart, oldest first, as :meth:`look` would have.

        What a tape does not tell of them stays unknown.
        """
        own = own[-_KEPT - 1 :]
        times = [now_ns for now_ns, _ in own]
        others = {name: other.recall(times, self._stale_ns) for name, other in self._others.items()}
        steps = []
        for i, (now_ns, mid2) in enumerate(own):
            steps.append(self._step(now_ns, {self._own: mid2} | {name: found[i] for name, found in others.items()}))
        self.correlations.recall(steps)

    def look(self, now_ns: int, mid2: int) -> None:
        """Take in the mids at a decision time.

        Parameters
        ----------
        mid2
            Of the session's own instrument, ticks; 0 where it is not known.
        """
        mids = {self._own: mid2} | {name: other.mid2(now_ns, self._stale_ns) for name, other in self._others.items()}
        self.correlations.add(now_ns, self._step(now_ns, mids))

    def _step(self, now_ns: int, mids: dict[str, int]) -> dict[str, float]:
        """Returns since the last mids, of those that are known; none where these are too old, as after a standstill."""
        last = self._last if now_ns - self._last_ns <= self._stale_ns else {}
        self._last, self._last_ns = mids, now_ns
        return {name: math.log(mid / last[name]) for name, mid in mids.items() if mid > 0 and last.get(name)}
