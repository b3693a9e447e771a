"""Crash scenarios on demand: what happened in past crashes, laid over any tape.

A scenario is a stretch of time in which the tape's own market goes on, but is shifted in price, thinned, widened,
traded from one side, or seen late. So its shape holds exactly on any tape, real or synthetic: the price at the trough
is the tape's own plus the stated fall, the depth the tape's times the stated factor, the spread the tape's times the
stated factor.

* **shift**: every level and print moves by ``(exp(s(t)) - 1) * mid at the beginning``, rounded to the price grid.
  Where the book steps down, the bids it leaves behind are sold into, level by level (prints, then the levels'
  removal); upwards the asks.
* **depth**: quantities of levels and prints times a factor, at least one lot.
* **spread**: both sides move apart until the spread is the tape's times a factor.
* **one-sided**: prints against the movement are left out with a probability.
* **delay, outage**: receipts come later, or all at the end of the stretch.
* **stale mark**: mark prices every second that stand still at the price before the stretch.

Sources of the sizes (news-grade; see ``SCENARIOS``): 2020-03-12 BTC -51 % in a day; 2021-05-19 -30 % within a day;
2024-08-05 -15 to -17 % in under five hours; 2025-10-10 -12 to -15 %, with order books of which little was left,
one-sided fills, frozen dashboards and mark prices that lagged; spreads of 10 to 50 times the usual and depth down by
90 %.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np

from tidewright.market.clock import MINUTE, SECOND, iso, parse_duration
from tidewright.market.errors import UsageError
from tidewright.market.scenarios_kernel import KNOT_VALUES, PACKET_ROOM, Overlay, lay, new_overlay
from tidewright.market.tape import COLUMN_TYPES, Columns


@dataclass(frozen=True, slots=True)
class Scenario:
    """One scenario.

    Parameters
    ----------
    name
        What it is called.
    about
        One line for people.
    drop
        Fall of the price at the trough, share of the price (0.12: 12 %); negative rises.
    recover
        Share of the fall that has come back at the end, 0 to 1.
    depth
        Factor on quantities at the worst, over 0 to 1.
    spread
        Factor on the spread at the worst, >= 1.
    one_sided
        Probability that a print against the movement is left out, 0 to 1.
    delay_ms
        Receipts come so much later, ms.
    outage
        Receipts of the whole stretch come at its end.
    stale_mark
        Mark prices stand still.
    steps
        Number of steps the fall comes in; 0: steadily.
    fall, trough
        Shares of the stretch that the fall and the time at the trough take; the rest is the recovery.
    duration_ns
        Length of the stretch, ns.
    at
        When it begins: share of the tape's time.
    """

    name: str
    about: str
    drop: float = 0.0
    recover: float = 0.0
    depth: float = 1.0
    spread: float = 1.0
    one_sided: float = 0.0
    delay_ms: float = 0.0
    outage: bool = False
    stale_mark: bool = False
    steps: int = 0
    fall: float = 0.25
    trough: float = 0.15
    duration_ns: int = 20 * MINUTE
    at: float = 0.5

    def __post_init__(self) -> None:
        rules = (
            ("drop", self.drop, -5.0 < self.drop < 0.95, "over -5 and under 0.95"),
            ("recover", self.recover, 0 <= self.recover <= 1, "0 to 1"),
            ("depth", self.depth, 0 < self.depth <= 1, "over 0 to 1"),
            ("spread", self.spread, 1 <= self.spread <= 1000, "1 to 1000"),
            ("one_sided", self.one_sided, 0 <= self.one_sided <= 1, "0 to 1"),
            ("delay_ms", self.delay_ms, 0 <= self.delay_ms < 1e9, "0 or more"),
            ("steps", self.steps, 0 <= self.steps <= 1000, "0 to 1000"),
            (
                "fall",
                self.fall,
                0 <= self.fall and 0 <= self.trough and self.fall + self.trough <= 1,
                "with trough at most 1",
            ),
            ("duration", self.duration_ns, self.duration_ns >= SECOND, "at least 1s"),
            ("at", self.at, 0 <= self.at <= 1, "0 to 1"),
        )
        for name, value, fine, rule in rules:
            if not fine:
                raise UsageError(f"scenario {self.name}: {name} must be {rule}, was {value}")

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "about"}


SCENARIOS: Final = {
    one.name: one
    for one in (
        Scenario(
            "flash-crash",
            "a fast fall, a book of which little is left, half of it back (2025-10-10)",
            drop=0.12,
            recover=0.5,
            depth=0.1,
            spread=20,
            one_sided=0.9,
        ),
        Scenario(
            "liquidity-drain",
            "the price stays, makers leave: a tenth of the depth, ten times the spread",
            depth=0.1,
            spread=10,
            duration_ns=30 * MINUTE,
        ),
        Scenario(
            "spread-blowout", "fifty times the spread, half the depth", depth=0.5, spread=50, duration_ns=10 * MINUTE
        ),
        Scenario(
            "price-jump", "one step down that stays (2024-08-05)", drop=0.15, steps=1, fall=0.02, depth=0.3, spread=5
        ),
        Scenario(
            "one-sided",
            "hours of selling: a slow fall in which only bids fill",
            drop=0.04,
            one_sided=1.0,
            fall=1.0,
            trough=0.0,
            duration_ns=60 * MINUTE,
        ),
        Scenario(
            "liquidation-cascade",
            "forced sales in steps, deleveraging by the venue (2021-05-19)",
            drop=0.3,
            recover=0.4,
            steps=8,
            depth=0.15,
            spread=15,
            one_sided=0.95,
            fall=0.5,
            duration_ns=60 * MINUTE,
        ),
        Scenario("latency-spike", "messages come two seconds late", delay_ms=2_000, duration_ns=10 * MINUTE),
        Scenario(
            "outage",
            "nothing is received until the end, then all at once",
            drop=0.05,
            outage=True,
            depth=0.3,
            spread=5,
            duration_ns=10 * MINUTE,
        ),
        Scenario(
            "stale-mark",
            "a flash crash during which the mark price stands still",
            drop=0.12,
            recover=0.5,
            depth=0.1,
            spread=20,
            one_sided=0.9,
            stale_mark=True,
        ),
    )
}


def parse_scenario(text: str) -> Scenario:
    """A scenario from its name and changes to it: ``flash-crash:drop=0.2,recover=0.3,duration=30m,at=0.25``.

    Raises
    ------
    UsageError
        If the name, a parameter or a value is unknown.
    """
    name, _, changes = text.partition(":")
    if name not in SCENARIOS:
        raise UsageError(f"scenario must be one of {', '.join(SCENARIOS)}, was {name!r}")
    found = SCENARIOS[name]
    values: dict[str, Any] = {}
    for part in filter(None, changes.split(",")):
        key, equals, value = part.partition("=")
        key = key.strip().replace("-", "_")
        if key == "duration":
            values["duration_ns"] = parse_duration(value)
            continue
        known = {field.name: field.type for field in fields(Scenario)}
        if not equals or key not in known or key in ("name", "about", "duration_ns"):
            usable = [*(k for k in known if k not in ("name", "about", "duration_ns")), "duration"]
            raise UsageError(f"scenario {name}: {part!r} must be one of {', '.join(usable)} with a value")
        values[key] = _value(name, key, value, getattr(found, key))
    return replace(found, **values)


def _value(name: str, key: str, text: str, like: Any) -> Any:
    if isinstance(like, bool):
        if text.lower() not in ("true", "false", "yes", "no", "1", "0"):
            raise UsageError(f"scenario {name}: {key} must be yes or no, was {text!r}")
        return text.lower() in ("true", "yes", "1")
    try:
        return int(text) if isinstance(like, int) else float(text)
    except ValueError:
        raise UsageError(f"scenario {name}: {key} must be a number, was {text!r}") from None


def knots(scenario: Scenario, start_ns: int) -> np.ndarray:
    """Corners of the scenario's path, float64[n, KNOT_VALUES]: time (ns after the start), log shift, depth, spread,
    one-sided.

    Between corners everything is linear. Depth and spread are at their worst from a fifth of the fall on until the
    trough ends.
    """
    length, low = float(scenario.duration_ns), float(np.log1p(-scenario.drop))
    fall, trough = scenario.fall * length, (scenario.fall + scenario.trough) * length
    end = float(np.log1p(-scenario.drop * (1 - scenario.recover)))
    times = [0.0, 0.2 * fall, fall, trough, length]
    if scenario.drop == 0:
        times[1:4] = 0.1 * length, 0.5 * length, 0.9 * length
    shift = {times[0]: 0.0, times[2]: low, times[3]: low, times[4]: end}
    if scenario.steps:
        shift = {0.0: 0.0, times[3]: low, times[4]: end}
        for k in range(scenario.steps):
            at = times[2] * (k + 1) / scenario.steps
            shift[max(0.0, at - 1e6)] = low * k / scenario.steps
            shift[at] = low * (k + 1) / scenario.steps
    corners = np.array(sorted({*times, *shift}))
    out = np.zeros((len(corners), KNOT_VALUES))
    out[:, 0] = corners
    out[:, 1] = np.interp(corners, sorted(shift), [shift[t] for t in sorted(shift)])
    out[:, 2] = np.interp(corners, times, [1.0, scenario.depth, scenario.depth, scenario.depth, 1.0])
    out[:, 3] = np.interp(corners, times, [1.0, scenario.spread, scenario.spread, scenario.spread, 1.0])
    out[:, 4] = np.interp(corners, times, [scenario.one_sided] * 4 + [0.0])
    return out


class ScenarioOverlay:
    """Lays a scenario over rows that pass through it, chunk by chunk; the same rows and seed give the same bytes.

    Parameters
    ----------
    scenario
        What happens.
    begin_ns
        When it begins, venue time, ns.
    grid
        Price grid of the levels, ticks.
    seed
        Chooses the prints that are left out.
    """

    def __init__(self, scenario: Scenario, begin_ns: int, grid: int = 1, seed: int = 7) -> None:
        self.scenario, self.begin_ns = scenario, begin_ns
        flags = (scenario.delay_ms * 1e6, float(scenario.outage), float(scenario.stale_mark), float(scenario.drop >= 0))
        self._overlay: Overlay = new_overlay(
            knots(scenario, begin_ns), begin_ns, scenario.duration_ns, max(1, grid), flags, seed
        )
        self._out = np.zeros((len(COLUMN_TYPES), 1 << 16), np.int64)

    def apply(self, chunks: Iterable[Columns]) -> Iterator[Columns]:
        """Rows with the scenario in them, in chunks of whole packets."""
        for chunk in chunks:
            arrays = [np.ascontiguousarray(column, np.int64) for column in chunk]
            at = 0
            while at < len(chunk.ts):
                rows, at = lay(self._overlay, *arrays, at, self._out)
                if rows == 0 and at < len(chunk.ts):  # one packet did not fit
                    self._out = np.zeros((len(COLUMN_TYPES), 2 * self._out.shape[1] + PACKET_ROOM), np.int64)
                    continue
                if rows:
                    types = COLUMN_TYPES.values()
                    yield Columns(*(self._out[i, :rows].astype(t) for i, t in enumerate(types)))  # type: ignore[arg-type]

    def note(self) -> dict[str, Any]:
        """What was laid over the tape, for its notes."""
        return {**self.scenario.to_json(), "begins": iso(self.begin_ns), "begin_ns": self.begin_ns}


def overlay(
    chunks: Iterable[Columns], scenario: Scenario, start_ns: int, end_ns: int, grid: int = 1, seed: int = 7
) -> Iterator[Columns]:
    """Rows of a tape from ``start_ns`` to ``end_ns`` with a scenario laid over them; see :class:`ScenarioOverlay`."""
    return ScenarioOverlay(scenario, begin_of(scenario, start_ns, end_ns), grid, seed).apply(chunks)


def begin_of(scenario: Scenario, start_ns: int, end_ns: int) -> int:
    """When a scenario begins on a tape, whole milliseconds."""
    return start_ns + int((end_ns - start_ns) * scenario.at) // 1_000_000 * 1_000_000
