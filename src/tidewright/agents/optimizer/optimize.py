"""``tw.optimize``: the optimizer's search on a tape, what ``tidewright optimize`` does, from Python."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from tidewright.agents.optimizer.judge import Settings, ShadowJudge
from tidewright.agents.optimizer.memory import Memory
from tidewright.agents.optimizer.search import Search
from tidewright.agents.optimizer.space import Space, of_mapping, of_strategy, parse
from tidewright.agents.optimizer.space_file import read_space
from tidewright.agents.optimizer.study import Findings, Plan, complete, study
from tidewright.agents.optimizer.surfaces import Surface, surfaces
from tidewright.agents.optimizer.tape_search import BATCH, SCORE, TapeSearch
from tidewright.agents.optimizer.windows import split
from tidewright.engine.sweep import Threads, runner
from tidewright.market.clock import parse_duration
from tidewright.market.cores import cores
from tidewright.market.detail import Detail, detail_of
from tidewright.market.errors import UsageError
from tidewright.market.instrument import text_units
from tidewright.market.tape import Tape
from tidewright.risk.limits import OFF, Limits
from tidewright.strategies import registry
from tidewright.strategies.declaration import Declaration

Rate = str | int | float | Decimal
Ranges = Iterable[str] | Mapping[str, object] | Path | Space | None


@dataclass(frozen=True, slots=True)
class Optimization:
    """A search and what it found.

    Attributes
    ----------
    plan
        What was searched and how: the strategy, the ranges, the incumbent, the two windows.
    found
        The finalists and the incumbent in and out of sample, and the evidence.
    ran
        Where the candidates were judged, for people. All else is the same bytes wherever it was.
    detail
        How much of the market the tape tells, and what that means for fills.
    search
        Where objectives or constraints were given: the search, with its front.
    slices
        Where asked for: the score over two parameters at a time, the others as in the best.
    """

    plan: Plan
    found: Findings
    ran: str
    detail: Detail
    search: Search | None = None
    slices: tuple[Surface, ...] = ()

    @property
    def proposal(self) -> dict[str, float] | None:
        """Parameters to use instead of the incumbent's; ``None``: keep them, ``found.reason`` says why."""
        if self.found.chosen < 0 or self.found.reason:
            return None
        return self.found.inside[self.found.chosen].params


def optimize(
    tape: Tape,
    strategy: str | Declaration = "grid",
    incumbent: Mapping[str, float] | None = None,
    space: Ranges = None,
    *,
    objectives: Sequence[str] | None = None,
    constraints: Sequence[str] = (),
    candidates: int | None = None,
    generations: int | None = None,
    seconds: float | None = None,
    sampler: str | Sequence[str] = "ensemble",
    file: str | Path | None = None,
    resume: bool = False,
    slices: bool = False,
    seed: int = 7,
    cycle: str | int | float = "30s",
    epoch: str | int | float = "30m",
    last: str | int | float | None = None,
    latency: str | int | float = "50ms",
    fees: tuple[Rate | None, Rate | None] = (None, None),
    queue: str = "risk_averse",
    queue_power: float = 3.0,
    capital: Rate = "10000",
    limits: Limits | None = None,
    threads: int | None = None,
    ray: bool | str | None = None,
    progress: Callable[[int, int], None] | None = None,
    watch: Callable[[Search], None] | None = None,
) -> Optimization:
    """Search parameters on a tape: bred in sample, the best few judged out of sample beside the incumbent.

    Parameters
    ----------
    strategy
        As in :func:`tidewright.backtest`.
    incumbent
        The parameters to beat; what is absent takes its default.
    space
        What to search, each ``"name=low:high[:log|int]"``, or a mapping, a ``Space``, or the ``Path`` of a space file;
        ``None``: the strategy's own ranges.
    objectives, constraints
        Figures by name, ``("return", "sharpe", "max_drawdown")``, each perhaps with ``:min`` or ``:max``, and
        ``"fills>=20"``: a front is searched instead of the single score. ``score`` is the agent's own objective.
    candidates, generations
        Parameter sets a generation, >= 2, and generations, >= 1: 512 and 4. For a front, parameter sets in all
        (2,048), times the generations if they are given.
    seconds
        Wall time that the search of a front may take; then the answer is not the same every time.
    sampler
        Of a front's search, as in :class:`tidewright.Search`.
    file, resume
        Where a front's search is saved after each batch, and whether one that is there is carried on.
    slices
        Judge two-parameter slices around the best as well.
    cycle, epoch, last
        Time between decisions; how far ahead the confidence looks; only the last stretch of the tape. Durations
        ("30s") or seconds.
    latency
        Of an order on its way to the venue, and again of the answer.
    fees
        Maker and taker rate (0.001 is 0.1 %); ``None``: the instrument's.
    queue, queue_power
        Model of an order's place in the queue, and the exponent of ``"prob"``.
    capital
        What a lane starts with, quote.
    limits
        Risk limits of every lane; ``None``: none.
    threads, ray
        Where candidates are judged, as in :func:`tidewright.backtest`: it changes no result.
    progress
        Told candidates judged and candidates in all when the search begins and after each generation.
    watch
        Told the search of a front after each batch.

    Raises
    ------
    UsageError
        If a name is unknown, a value out of range, or the tape too short to judge on.
    NotRunningError
        If no Ray cluster answers at the address.
    """
    name = registry.resolve(strategy)
    cycle_ns, latency_ns = parse_duration(cycle), parse_duration(latency)
    if cycle_ns <= 0:
        raise UsageError(f"cycle must be > 0, was {cycle}")
    explore = _front(objectives, constraints, candidates, generations, seconds, sampler, file, resume)
    if explore is not None:
        explore.watch = watch
    size, rounds = candidates or 512, generations or 4
    start_ns = tape.start_ns if last is None else max(tape.start_ns, tape.end_ns - parse_duration(last))
    parts = split(start_ns, tape.end_ns, cycle_ns, 2 * latency_ns)
    maker, taker = (None if rate is None else text_units(str(rate), "fee rate") for rate in fees)
    settings = Settings(
        cycle_ns=cycle_ns,
        entry_ns=latency_ns,
        response_ns=latency_ns,
        maker_fee=maker,
        taker_fee=taker,
        limits=limits or OFF,
        queue=queue,
        queue_power=queue_power,
        equity=text_units(str(capital), "capital"),
    )
    plan = Plan(
        strategy=name,
        space=_space(name, space),
        incumbent=complete(name, incumbent or {}),
        split=parts,
        cycle_ns=cycle_ns,
        horizon=max(1, parse_duration(epoch) // cycle_ns),
        candidates=size,
        generations=rounds,
        seed=seed,
    )
    where = runner(threads, ray)
    judge = ShadowJudge(tape, len(tape), name, settings, parts.inside.start_ns, runner=where)
    if explore is not None and isinstance(where, Threads):  # batches side by side instead of lanes
        explore.ahead = threads or cores()
        explore.single = ShadowJudge(tape, len(tape), name, settings, parts.inside.start_ns, before=judge)
    if progress is not None:
        progress(0, size * rounds if explore is None else explore.candidates or 0)
    found = study(judge, plan, Memory(), progress, explore)
    best = found.inside[max(found.chosen, 0)].params if found.inside else plan.incumbent
    cut = surfaces(judge, plan, best) if slices else ()
    ran = judge.ran if explore is None else explore.ran or judge.ran
    return Optimization(plan, found, ran, detail_of(tape.meta), None if explore is None else explore.search, cut)


def _space(name: str, ranges: Ranges) -> Space:
    if ranges is None:
        return of_strategy(name)
    if isinstance(ranges, Space):
        return of_strategy(name, ranges.dimensions)
    if isinstance(ranges, Path):
        return of_strategy(name, read_space(ranges).dimensions)
    if isinstance(ranges, Mapping):
        return of_strategy(name, of_mapping(ranges).dimensions)
    return of_strategy(name, [parse(text) for text in ranges])


def _front(
    objectives: Sequence[str] | None,
    constraints: Sequence[str],
    candidates: int | None,
    generations: int | None,
    seconds: float | None,
    sampler: str | Sequence[str],
    file: str | Path | None,
    resume: bool,
) -> TapeSearch | None:
    """The search of a front, if anything asks for one."""
    for name, count, least in (("candidates", candidates, 2), ("generations", generations, 1)):
        if count is not None and count < least:
            raise UsageError(f"{name} must be >= {least}, was {count}")
    if seconds is not None and seconds <= 0:
        raise UsageError(f"seconds must be > 0, was {seconds}")
    if resume and file is None:
        raise UsageError("resume needs the file of a study")
    if objectives is None and not constraints and seconds is None and file is None and sampler == "ensemble":
        return None
    total = None if seconds is not None and candidates is None else (candidates or 2048) * (generations or 1)
    return TapeSearch(
        objectives=tuple(objectives or (SCORE,)),
        constraints=tuple(constraints),
        candidates=total,
        seconds=seconds,
        batch=min(BATCH, candidates or BATCH),
        sampler=sampler,
        file=None if file is None else Path(file),
        resume=resume,
    )
