"""Which market a policy learned on, kept in its file: enough to know the same hours again on a tape with other rows."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from tidewright.agents.executor.policy_run import tape_hash
from tidewright.market.clock import HOUR, iso
from tidewright.market.synthetic import START_NS
from tidewright.market.tape import Tape

# What makers of synthetic tapes write into ``source``; the length says nothing about which market it is.
_MADE: Final = re.compile(r"((?:synthetic|like [^:]+): seed \d+), ([\d.e+-]+) h((?:, [^),]+)*)")
_REPLAYED: Final = ("session ", "paper session ")  # whatever a paper exchange replayed


@dataclass(frozen=True, slots=True)
class Hours:
    """A stretch of a market.

    Attributes
    ----------
    market
        Symbol and venue, or of a synthetic one its seed and settings; empty: nobody knows.
    start_ns, end_ns
        First and last time.
    """

    market: str
    start_ns: int
    end_ns: int

    @classmethod
    def of(cls, tape: Tape) -> Self:
        """Those on a tape."""
        return cls(_market(tape), tape.start_ns, tape.end_ns)

    @classmethod
    def kept(cls, one: Mapping[str, Any]) -> Self:
        """Those of :func:`record`; files of before kept only the source, which is enough for a synthetic market."""
        if "market" in one:
            return cls(str(one["market"]), int(one["start_ns"]), int(one["end_ns"]))
        made = _MADE.match(str(one.get("source", "")))
        if made is None or not made[1].startswith("synthetic"):
            return cls("", 0, 0)
        return cls(made[1] + made[3], START_NS, START_NS + round(float(made[2]) * HOUR))

    def meets(self, other: "Hours") -> bool:
        """Whether they are of the same market and share some time."""
        shared = min(self.end_ns, other.end_ns) >= max(self.start_ns, other.start_ns)
        return bool(self.market) and self.market == other.market and shared

    def words(self) -> str:
        """Market and span, for people."""
        return f"{self.market}, {iso(self.start_ns)} to {iso(self.end_ns)}"


def shared(header: Mapping[str, Any], judged: Hours) -> Hours | None:
    """Hours that a policy learned on, by its file's header, which meet those it is judged on; ``None``: none known."""
    learned = map(Hours.kept, header.get("data", ()))
    return next((hours for hours in learned if hours.meets(judged)), None)


def record(tape: Tape, digest: str | None = None) -> dict[str, Any]:
    """What a policy's file says of a tape that it learned or was examined on.

    Parameters
    ----------
    digest
        SHA-256 of its rows, if known.
    """
    hours = Hours.of(tape)
    return {
        "source": tape.meta["source"],
        "rows": len(tape),
        "sha256": digest or tape_hash(tape),
        "market": hours.market,
        "start_ns": hours.start_ns,
        "end_ns": hours.end_ns,
    }


def _market(tape: Tape) -> str:
    source, notes, known = str(tape.meta["source"]), tape.meta["notes"], tape.instrument
    made = _MADE.search(source)
    if made is not None:
        return made[1] + made[3] + (f", like {notes['like_tape']}" if "like_tape" in notes else "")
    if notes.get("synthetic") or "(synthetic)" in str(tape.meta["detail"]) or source.startswith(_REPLAYED):
        return ""
    return f"{known.symbol} at {known.venue}" if known.venue else ""
