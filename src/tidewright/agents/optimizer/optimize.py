"""``tw.optimize``: the optimizer's search on a tape, what ``tidewright optimize`` does, from Python."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from tidewright.agents.optimizer.assumptions import assumptions, experiment
from tidewright.agents.optimizer.judge import Settings, ShadowJudge
from tidewright.agents.optimizer.memory import Memory
from tidewright.agents.optimizer.search import SEEDS, Search
from tidewright.agents.optimizer.space import Space, of_mapping, of_strategy, parse
from tidewright.agents.optimizer.space_file import read_space
from tidewright.agents.optimizer.study import Findings, Plan, complete, study
from tidewright.agents.optimizer.surfaces import Surface, surfaces
from tidewright.agents.optimizer.tape_search import BATCH, SCORE, TapeSearch
from tidewright.agents.optimizer.tape_study import Kept
from tidewright.agents.optimizer.validation import checks
from tidewright.agents.optimizer.verdict import Verdict, verdict
from tidewright.agents.optimizer.windows import split
from tidewright.coordination.payloads import Checks
from tidewright.engine.sweep import Threads, runner
from tidewright.market.clock import parse_duration
from tidewright.market.codes import UNIT
from tidewright.market.cores import cores
from tidewright.market.detail import Detail, detail_of
from tidewright.market.errors import UsageError
from tidewright.market.instrument import text_units
from tidewright.market.tape import Tape
from tidewright.risk.limits import OFF, Limits
from tidewright.strategies import registry
from tidewright.strategies.declaration import Declaration
from tidewright.strategies.sizes import AS_GIVEN, Sizes

Rate = str | int | float | Decimal
SEED: Final = 7
SAMPLER: Final = "ensemble"
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
    assumptions
        What all figures rest on: tape, fees, latencies, queue, limits, capital, sizes.
    """

    plan: Plan
    found: Findings
    ran: str
    detail: Detail
    search: Search | None = None
    slices: tuple[Surface, ...] = ()
    assumptions: dict[str, Any] = field(default_factory=dict)

    @property
    def checks(self) -> dict[str, Any] | None:
        """What the executor's gate looks at; ``None`` where nothing was compared with the incumbent."""
        found = self.found
        return None if found.evidence is None else checks(found.validation, found.steady, found.evidence)

    @property
    def verdict(self) -> Verdict | None:
        """What the executor would say of the proposal with its default thresholds; ``None``: there is none."""
        evidence, told = self.found.evidence, self.checks
        if self.proposal is None or evidence is None or told is None:
            return None
        return verdict(Checks(**told), evidence.confidence)

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
    sampler: str | Sequence[str] | None = None,
    file: str | Path | None = None,
    resume: bool = False,
    slices: bool = False,
    seed: int | None = None,
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
    stage: Callable[[str], None] | None = None,
) -> Optimization:
    """Search parameters on a tape: bred in sample, the best few judged out of sample beside the incumbent.

    Parameters
    ----------
    strategy
        As in :func:`tidewright.backtest`.
    incumbent
        The parameters to beat; what is absent takes its default, sizes one that the instrument's filters let pass.
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
        Wall time that the search of a front may take; then the answer is not the same every time. Judging the best of
        it out of sample and validation come after that.
    sampler
        Of a front's search, as in :class:`tidewright.Search`; ``None``: the study's that is carried on, ``ensemble``.
    file, resume
        Where a front's search is saved after each batch, and whether one that is there is carried on: on the same
        tape, with the same fees, latencies, sizes and so on.
    slices
        Judge two-parameter slices around the best as well.
    seed
        Of the search; ``None``: the study's that is carried on, else 7.
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
    stage
        Told what is done after the search, a few words each.

    Raises
    ------
    UsageError
        If a name is unknown, a value out of range, the tape too short to judge on, or the study of another experiment.
    NotRunningError
        If no Ray cluster answers at the address.
    """
    name = registry.resolve(strategy)
    cycle_ns, latency_ns, ahead_ns = parse_duration(cycle), parse_duration(latency), parse_duration(epoch)
    for what, value in (("cycle", cycle_ns), ("epoch", ahead_ns)):
        if value <= 0:
            raise UsageError(f"{what} must be > 0, was {cycle if what == 'cycle' else epoch}")
    if seed is not None and not 0 <= seed < SEEDS:
        raise UsageError(f"the seed must be in 0..2^64 - 1, was {seed}")
    explore = _front(objectives, constraints, candidates, generations, seconds, sampler, file, resume)
    kept = None if explore is None else explore.kept
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
    given, sizes = incumbent or {}, Sizes.of(tape)
    params, sized = complete(name, given), ""
    if sizes is not None:
        params, sized = sizes.tradable(params, given, settings.equity / UNIT)
        sized = sized or sizes.refusal(params["base_quantity"])
    plan = Plan(
        strategy=name,
        space=_space(name, space),
        incumbent=params,
        split=parts,
        cycle_ns=cycle_ns,
        horizon=max(1, ahead_ns // cycle_ns),
        candidates=candidates or 512,
        generations=generations or 4,
        seed=(SEED if kept is None else kept.search.seed) if seed is None else seed,
        sizes=sizes,
    )
    if explore is not None:
        explore.watch = watch
        explore.begin(plan, None if explore.file is None else experiment(tape, settings, plan))
    where = runner(threads, ray)
    judge = ShadowJudge(tape, len(tape), name, settings, parts.inside.start_ns, runner=where)
    if explore is not None and isinstance(where, Threads):  # batches side by side instead of lanes
        explore.ahead = threads or cores()
        explore.single = ShadowJudge(tape, len(tape), name, settings, parts.inside.start_ns, before=judge)
    if progress is not None:
        progress(0, plan.candidates * plan.generations if explore is None else explore.candidates or 0)
    found = study(judge, plan, Memory(), progress, explore, stage)
    best = found.inside[max(found.chosen, 0)].params if found.inside else plan.incumbent
    if slices and stage is not None:
        stage("slices around the best")
    return Optimization(
        plan,
        found,
        judge.ran if explore is None else explore.ran or judge.ran,
        detail_of(tape.meta),
        None if explore is None else explore.search,
        surfaces(judge, plan, best) if slices else (),
        {**assumptions(tape, settings), "sizes": sized or AS_GIVEN},
    )


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
    sampler: str | Sequence[str] | None,
    file: str | Path | None,
    resume: bool,
) -> TapeSearch | None:
    """The search of a front, if anything asks for one."""
    if objectives is not None and not objectives:
        raise UsageError("a search needs at least one objective, had none")
    for name, count, least in (("candidates", candidates, 2), ("generations", generations, 1)):
        if count is not None and count < least:
            raise UsageError(f"{name} must be >= {least}, was {count}")
    if seconds is not None and seconds <= 0:
        raise UsageError(f"seconds must be > 0, was {seconds}")
    path = None if file is None else Path(file)
    kept = Kept.of(path, resume)
    if objectives is None and not constraints and seconds is None and file is None and sampler in (None, SAMPLER):
        return None
    chosen = (SAMPLER if kept is None else kept.search.sampler) if sampler is None else sampler
    total = None if seconds is not None and candidates is None else (candidates or 2048) * (generations or 1)
    return TapeSearch(
        objectives=tuple(objectives or (SCORE,)),
        constraints=tuple(constraints),
        candidates=total,
        seconds=seconds,
        batch=min(BATCH, candidates or BATCH),
        sampler=chosen,
        file=path,
        kept=kept,
    )
