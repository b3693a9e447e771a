"""Write a synthetic market of any sort: the plain one or one like a tape, with regimes, with a scenario laid over
it.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from tidewright.market.calibration import Profile, calibrate, measured_flow
from tidewright.market.calibration_fit import ROUNDS, refine
from tidewright.market.calibration_regimes import REGIMES, REVERTING, Regimes, measure_regimes
from tidewright.market.clock import HOUR
from tidewright.market.errors import UsageError
from tidewright.market.instrument import Instrument
from tidewright.market.queue_reactive import DETAIL, LikeGenerator
from tidewright.market.scenarios import Scenario, ScenarioOverlay, begin_of
from tidewright.market.synthetic import START_NS, Generator, synthetic_instrument
from tidewright.market.tape import Columns, Tape
from tidewright.market.tape_writer import TapeWriter

Progress = Callable[[float], None]
REGIME_CHOICES: Final = ("none", "switching", *REGIMES, REVERTING)


def regimes_of(name: str, data: Columns) -> Regimes | None:
    """The regimes a name asks for: measured on the tape and switching, pinned to one of them, mean-reverting, or none.

    Raises
    ------
    UsageError
        If the name is unknown.
    """
    if name not in REGIME_CHOICES:
        raise UsageError(f"regimes must be one of {', '.join(REGIME_CHOICES)}, was {name!r}")
    if name == "none":
        return None
    measured = measure_regimes(measured_flow(data)[1])
    if name == REVERTING:
        return measured.reverting()
    return measured if name == "switching" else measured.pinned(name)


def measure_market(data: Columns, seed: int = 7, rounds: int = ROUNDS, progress: Progress | None = None) -> Profile:
    """Calibrate to a tape and correct by ``rounds`` simulations; see :func:`calibrate` and :func:`refine`."""
    profile = calibrate(data)
    return refine(profile, data, seed, rounds, progress) if rounds else profile


def write_plain(
    path: str | Path, scenario: Scenario, hours: float, seed: int, rate: float, progress: Progress | None = None
) -> Tape:
    """The plain synthetic market with a scenario in it."""
    generator = Generator(hours, seed, rate)
    notes = {"seed": seed}
    return _write(path, generator, synthetic_instrument(), "L2+trades (synthetic)", notes, scenario, 1, hours, progress)


def write_like(
    path: str | Path,
    profile: Profile,
    instrument: Instrument,
    hours: float,
    seed: int,
    *,
    regimes: Regimes | None = None,
    scenario: Scenario | None = None,
    notes: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> Tape:
    """A market like the one measured, with regimes and a scenario if asked for.

    Raises
    ------
    UsageError
        If a parameter is out of range or the path exists.
    """
    generator = LikeGenerator(profile, hours, seed, regimes=regimes)
    told = {"seed": seed, "like": profile.summary(), **(notes or {})}
    if regimes is not None:
        told["regimes_measured"] = regimes.measured
    return _write(path, generator, instrument, DETAIL, told, scenario, profile.feed.grid, hours, progress)


def _write(
    path: str | Path,
    generator: Generator | LikeGenerator,
    instrument: Instrument,
    detail: str,
    notes: dict[str, Any],
    scenario: Scenario | None,
    grid: int,
    hours: float,
    progress: Progress | None,
) -> Tape:
    rows: Iterator[Columns] = iter(generator)
    if scenario is not None:
        seed = int(notes["seed"])
        overlay = ScenarioOverlay(scenario, begin_of(scenario, START_NS, START_NS + int(hours * HOUR)), grid, seed)
        rows = overlay.apply(rows)
        notes = {**notes, "scenario": overlay.note()}
    name = "" if scenario is None else f", {scenario.name}"
    with TapeWriter(
        path, instrument, detail=detail, source=f"synthetic: seed {notes['seed']}, {hours:g} h{name}"
    ) as writer:
        for chunk in rows:
            writer.append(chunk)
            if progress is not None:
                progress(generator.done)
        changes = [[start, name] for start, name in generator.regimes()]
        writer.notes = {"synthetic": True, "regimes": changes, **notes}
    return Tape.open(path)
