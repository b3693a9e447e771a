"""``tw.optimize``: the optimizer's search on a tape, what ``tidewright optimize`` does, from Python."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from tidewright.agents.optimizer.judge import Settings, ShadowJudge
from tidewright.agents.optimizer.memory import Memory
from tidewright.agents.optimizer.space import of_strategy, parse
from tidewright.agents.optimizer.study import Findings, Plan, complete, study
from tidewright.agents.optimizer.windows import split
from tidewright.engine.sweep import runner
from tidewright.market.clock import parse_duration
from tidewright.market.errors import UsageError
from tidewright.market.instrument import text_units
from tidewright.market.tape import Tape
from tidewright.risk.limits import OFF, Limits
from tidewright.strategies import registry
from tidewright.strategies.declaration import Declaration

Rate = str | int | float | Decimal


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
    """

    plan: Plan
    found: Findings
    ran: str

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
    space: Iterable[str] | None = None,
    *,
    candidates: int = 512,
    generations: int = 4,
    seed: int = 7,
    cycle: str | int | float = "30s",
    epoch: str | int | float = "30m",
    last: str | int | float | None = None,
    latency: str | int | float = "50ms",
    fees: tuple[Rate | None, Rate | None] = (None, None),
    queue: str = "risk_averse",
    capital: Rate = "10000",
    limits: Limits | None = None,
    threads: int | None = None,
    ray: bool | str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Optimization:
    """Search parameters on a tape: bred in sample, the best few judged out of sample beside the incumbent.

    Parameters
    ----------
    strategy
        As in :func:`tidewright.backtest`.
    incumbent
        The parameters to beat; what is absent takes its default.
    space
        What to search, each ``"name=low:high[:log|int]"``; ``None``: the strategy's own ranges.
    candidates, generations
        Parameter sets a generation, >= 2; generations, >= 1.
    cycle, epoch, last
        Time between decisions; how far ahead the confidence looks; only the last stretch of the tape. Durations
        ("30s") or seconds.
    latency
        Of an order on its way to the venue, and again of the answer.
    fees
        Maker and taker rate (0.001 is 0.1 %); ``None``: the instrument's.
    capital
        What a lane starts with, quote.
    limits
        Risk limits of every lane; ``None``: none.
    threads, ray
        Where candidates are judged, as in :func:`tidewright.backtest`: it changes no result.
    progress
        Told candidates judged and candidates in all when the search begins and after each generation.

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
    if generations < 1:
        raise UsageError(f"generations must be >= 1, was {generations}")
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
        equity=text_units(str(capital), "capital"),
    )
    plan = Plan(
        strategy=name,
        space=of_strategy(name, None if space is None else [parse(text) for text in space]),
        incumbent=complete(name, incumbent or {}),
        split=parts,
        cycle_ns=cycle_ns,
        horizon=max(1, parse_duration(epoch) // cycle_ns),
        candidates=candidates,
        generations=generations,
        seed=seed,
    )
    where = runner(threads, ray)
    judge = ShadowJudge(tape, len(tape), name, settings, parts.inside.start_ns, runner=where)
    if progress is not None:
        progress(0, candidates * generations)
    found = study(judge, plan, Memory(), progress)
    return Optimization(plan, found, judge.ran)
