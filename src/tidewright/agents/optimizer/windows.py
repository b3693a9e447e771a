"""In sample and out of sample: two stretches of market time that do not touch."""

from dataclasses import dataclass
from typing import Final

from tidewright.market.clock import MINUTE
from tidewright.market.errors import UsageError
from tidewright.measure.presentation import duration_text

OUT_SHARE: Final = 0.35  # of the time given
MIN_IN: Final = 40  # cycles
MIN_OUT: Final = 20


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of market time; lanes start flat at its start and decide at ``start + k·cycle`` up to its end."""

    start_ns: int
    end_ns: int

    def cycles(self, cycle_ns: int) -> int:
        """Decisions in the window."""
        return max(0, (self.end_ns - self.start_ns) // cycle_ns)


@dataclass(frozen=True, slots=True)
class Split:
    """The two windows and the embargo between them, in cycles."""

    inside: Window
    outside: Window
    embargo: int


def split(from_ns: int, until_ns: int, cycle_ns: int, latency_ns: int = 0, out_share: float = OUT_SHARE) -> Split:
    """Split a stretch into an in-sample part and a later out-of-sample part.

    The embargo between them is one cycle plus the latency, in whole cycles: an order of the last in-sample decision
    cannot fill in the out-of-sample part.

    Raises
    ------
    UsageError
        If the stretch is too short for both parts.
    """
    cycles = (until_ns - from_ns) // cycle_ns
    embargo = 1 + -(-latency_ns // cycle_ns)
    outside = round(out_share * cycles)
    inside = cycles - outside - embargo
    if outside < MIN_OUT or inside < MIN_IN:
        enough = _enough(embargo, out_share)
        needed = enough * cycle_ns
        needed += -needed % MINUTE if needed >= 10 * MINUTE else 0  # such spans are shown in whole minutes
        raise UsageError(
            f"judging needs at least {MIN_IN} cycles in sample and {MIN_OUT} out of sample, "
            f"{cycles} cycles of market give {max(0, inside)} and {outside}; {enough} cycles would be enough: "
            f"{duration_text(needed)} of market, or a shorter cycle than {duration_text(cycle_ns)}"
        )
    out_start = until_ns - outside * cycle_ns
    in_end = out_start - embargo * cycle_ns
    return Split(Window(in_end - inside * cycle_ns, in_end), Window(out_start, until_ns), embargo)


def _enough(embargo: int, out_share: float) -> int:
    """Fewest cycles that give both parts enough."""
    cycles = MIN_IN + MIN_OUT + embargo
    while round(out_share * cycles) < MIN_OUT or cycles - round(out_share * cycles) - embargo < MIN_IN:
        cycles += 1
    return cycles
