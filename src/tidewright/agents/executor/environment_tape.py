"""Learning on recorded or synthetic markets: the engine itself, its lanes steered at every decision.

Lanes are dealt into cohorts. A cohort replays a stretch of one tape with an engine of its own, from a start drawn anew
for every episode, so that one batch holds different markets and times. Nothing here knows more than a live session
does: what a lane sees is what it would know at that moment, and its orders take their way through latency and queues.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

import numpy as np

from tidewright.agents.executor import environment_kernel as kernel
from tidewright.agents.executor import environment_play as play
from tidewright.agents.executor.environment import F32, I64, Bool, Spaces, Step, require_numbers
from tidewright.agents.executor.reward import TERMS, Reward
from tidewright.agents.executor.state import MEMORY, NAMES
from tidewright.agents.optimizer.fold import BookFold
from tidewright.engine.config import QUEUES, ReplayConfig, window_of
from tidewright.engine.layout import LOOK
from tidewright.engine.replay import Replay, first_price
from tidewright.market.cores import cores
from tidewright.market.errors import UsageError
from tidewright.market.features import LAST_MID2
from tidewright.market.tape import F64, Columns, Tape
from tidewright.risk.limits import Limits
from tidewright.strategies import registry
from tidewright.strategies.declaration import SHAPE

STARTS: Final = 32  # books kept of a tape for episodes to begin with
HOLD: Final = 2  # the stance that leans nowhere


@dataclass(frozen=True, slots=True)
class Randomisation:
    """What is drawn anew for every cohort and episode, so that a policy does not rely on one value; empty: as set.

    A curriculum begins with the first values, the easiest, and takes in the others in the order in which they stand,
    see :meth:`TapeEnvironment.widen`.

    Attributes
    ----------
    maker_fees
        Maker fee rates in 1e-8.
    latencies_ns
        Of orders and of the venue's answers.
    queues
        Queue models.
    """

    maker_fees: tuple[int, ...] = ()
    latencies_ns: tuple[int, ...] = ()
    queues: tuple[str, ...] = ()


STRATEGY: Final = "shaped"
RULE: Final = ("base_rule", "gamma", "kappa", "intensity", "horizon_s")
"""Parameters of the strategy ``shaped`` that hold for a whole run."""


@dataclass(frozen=True, slots=True)
class TapeSettings:
    """What lanes trade with, and how long.

    Attributes
    ----------
    cycle_ns, entry_ns, response_ns, queue
        As in :class:`~tidewright.engine.config.ReplayConfig`.
    decisions, warm_up
        Decisions of an episode, and those before it in which the market is only watched.
    capital
        Quote currency a lane starts with.
    base_quantity, max_position
        Base units; ``None``: max_position is what the limit ``max_position_share`` allows, at the first mid, less the
        open orders of a side, and base_quantity a ``levels``-th of it.
    levels
        Most quotes a side that an action may choose.
    base_rule, gamma, kappa, intensity, horizon_s
        Of the rule ``shaped``: 0 glft, 1 avellaneda_stoikov.
    strategy
        What is steered: ``shaped``, or a user's own, see :data:`tidewright.strategies.declaration.SHAPE`.
    own
        Parameters of a user's own strategy that hold for a whole run; what is absent has its default.
    digest
        Of a user's own strategy: another version of it is refused. Empty: it is taken as it is.
    limits
        Risk limits, as a session has them.
    ruin
        Share of the capital whose loss ends an episode.
    reward
        Weights of the reward's parts.
    random
        What is drawn anew for every episode.
    extended
        Whether lanes also see their relative queue positions and the trade flow, see
        :mod:`tidewright.agents.executor.environment_kernel`.
    """

    cycle_ns: int = 30_000_000_000
    decisions: int = 240
    warm_up: int = 20
    entry_ns: int = 50_000_000
    response_ns: int = 50_000_000
    queue: str = "risk_averse"
    capital: float = 10_000.0
    base_quantity: float | None = None
    max_position: float | None = None
    levels: int = 3
    base_rule: int = 0
    gamma: float = 0.01
    kappa: float = 0.3
    intensity: float = 0.05
    horizon_s: float = 3600.0
    strategy: str = STRATEGY
    own: Mapping[str, float] = field(default_factory=dict)
    digest: str = ""
    limits: Limits = field(default_factory=Limits)
    ruin: float = 0.05
    reward: Reward = field(default_factory=Reward)
    random: Randomisation = field(default_factory=Randomisation)
    extended: bool = False

    def __post_init__(self) -> None:
        if self.decisions < 1 or self.warm_up < 0 or self.levels < 1:
            raise UsageError(
                f"decisions and levels must be >= 1, warm_up >= 0, were {self.decisions}, {self.levels}, {self.warm_up}"
            )
        if not self.capital > 0.0 or not 0.0 < self.ruin <= 1.0:
            raise UsageError(f"capital must be > 0 and ruin in (0, 1], were {self.capital} and {self.ruin}")
        for queue in (self.queue, *self.random.queues):
            if queue not in QUEUES:
                raise UsageError(f"unknown queue model {queue!r}. There are: {', '.join(QUEUES)}")
        slowest = max(self.entry_ns, self.response_ns, *self.random.latencies_ns)
        if slowest > self.cycle_ns:
            raise UsageError(
                f"latencies must be at most a cycle ({self.cycle_ns / 1e9:g} s), one is {slowest / 1e9:g} s"
            )
        self._check_strategy()

    def _check_strategy(self) -> None:
        steered = registry.strategy(self.strategy)
        if not steered.steerable:
            raise UsageError(
                f"strategy {steered.title} cannot be steered by a policy: its parameters must begin with tw.SHAPE and "
                f"end with tw.BASE_QUANTITY and tw.MAX_POSITION; it has: {', '.join(steered.names)}"
            )
        if self.digest not in ("", steered.digest):
            raise UsageError(
                f"{steered.title} is another version than the one that the policy learned to steer "
                f"({steered.digest[:12]}, not {self.digest[:12]}): train it again, or bring that version back"
            )

    @property
    def rule(self) -> dict[str, float]:
        """Parameters by name that hold for a whole run: those of :data:`RULE`, or of a user's own strategy."""
        return {name: getattr(self, name) for name in RULE} if self.strategy == STRATEGY else dict(self.own)

    def with_rule(self, values: Mapping[str, float]) -> "TapeSettings":
        """The same with other parameters for a whole run; names that mean nothing here are passed over."""
        known = RULE if self.strategy == STRATEGY else registry.strategy(self.strategy).names[len(SHAPE) : -2]
        chosen: dict[str, Any] = {name: values[name] for name in known if name in values}
        return replace(self, **(chosen if self.strategy == STRATEGY else {"own": {**self.own, **chosen}}))

    @property
    def terms(self) -> dict[str, Any]:
        """The conditions as :func:`tidewright.engine.backtest.backtest` takes them."""
        return {
            "cycle": self.cycle_ns / 1e9,
            "latency": self.entry_ns / 1e9,
            "queue": self.queue,
            "limits": self.limits,
            "capital": f"{self.capital:.8f}",
        }

    @property
    def observation(self) -> int:
        """Numbers a lane sees."""
        return kernel.EXTENDED if self.extended else len(NAMES)

    @property
    def span_ns(self) -> int:
        """Market time that an episode takes, warm-up included."""
        return (self.warm_up + self.decisions + 2) * self.cycle_ns

    def to_json(self) -> dict[str, Any]:
        """Plain values, for the header of a policy."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "TapeSettings":
        """Settings of the plain values of :meth:`to_json`, also after a way through JSON."""
        random = {name: tuple(values) for name, values in data["random"].items()}
        parts = {"limits": Limits(**data["limits"]), "reward": Reward(**data["reward"])}
        return cls(**{**data, **parts, "random": Randomisation(**random)})

    def sizes(self, mid: float, lot: float) -> tuple[float, float]:
        """Base quantity and largest position, base units, at a mid."""
        share = self.limits.max_position_share or 0.01
        allowed = share * self.capital / mid
        largest = self.max_position if self.max_position is not None else 0.5 * allowed
        quantity = self.base_quantity if self.base_quantity is not None else largest / self.levels
        if quantity < lot:
            raise UsageError(
                f"base_quantity {quantity:.3g} is under one lot ({lot:g}): "
                f"a capital of {self.capital * lot / max(quantity, 1e-300) * 1.01:.0f} is enough"
            )
        return quantity, largest


class _Start:
    """Where an episode may begin: the book there, the row that comes next, and the first price."""

    def __init__(self, tape: Tape, opening: Columns, row: int) -> None:
        self.tape, self.opening, self.row = tape, opening, row
        price = first_price(opening)
        self.price = first_price(tape.data) if price is None else price


def starts(tape: Tape, settings: TapeSettings, most: int = STARTS) -> list[_Start]:
    """Evenly spread starts of episodes that fit on a tape.

    Raises
    ------
    UsageError
        If none does.
    """
    data = tape.data
    first, last = int(data.ts[0]), int(data.ts[-1])
    room = last - first - settings.span_ns
    if room < 0:
        raise UsageError(
            f"the tape is {(last - first) / 1e9:.0f} s long, an episode of {settings.decisions} decisions and "
            f"{settings.warm_up} of warm-up takes {settings.span_ns / 1e9:.0f} s"
        )
    count = min(most, 1 + room // settings.cycle_ns)
    fold, found = BookFold(), []
    for index in range(count):
        if index == 0:
            found.append(_Start(tape, data.rows(0, 0), 0))
            continue
        fold.advance(data, first + room * index // (count - 1))
        if fold.row > found[-1].row:
            found.append(_Start(tape, fold.snapshot(), fold.row))
    return found


class Cohort:
    """Lanes that replay one stretch of a tape together.

    Parameters
    ----------
    places
        Where its episodes may begin.
    lanes
        How many.
    settings
        What they trade with.
    random
        Draws the starts and all else that is random.
    """

    def __init__(
        self, places: Sequence[_Start], lanes: int, settings: TapeSettings, random: np.random.Generator
    ) -> None:
        self.places, self.lanes, self.settings, self.random = places, lanes, settings, random
        self.share = 1.0
        self._memory: F64 = np.zeros((lanes, MEMORY))
        self._scratch: F64 = np.zeros(len(NAMES))
        self._flow: F64 = np.zeros(kernel.FLOW)
        self.observation: F32 = np.zeros((2, lanes, settings.observation), np.float32)
        self.terms: F32 = np.zeros((lanes, len(TERMS)), np.float32)
        self.ruined: Bool = np.zeros(lanes, np.bool_)
        self._still = (np.zeros((lanes, 3), np.float32), np.tile(np.array([0, HOLD], np.int64), (lanes, 1)))
        self.table: I64 = np.zeros((1, play.FIELDS), np.int64)

    def share_table(self, row: I64, first: int) -> None:
        """Be told of in another table, (1, FIELDS), from a lane of many on; before an episode begins."""
        self.table = row
        row[0, play.FIRST] = first

    def begin(self, decisions: int | None = None) -> None:
        """Start an episode of so many decisions; its first observation is in ``observation[0]``."""
        settings, random = self.settings, self.random
        places = self._first(self.places)
        place = places[int(random.integers(len(places)))]
        drawn = settings.random
        instrument = place.tape.instrument
        if drawn.maker_fees:
            instrument = replace(instrument, maker_fee=int(random.choice(self._first(drawn.maker_fees))))
        entry, response = settings.entry_ns, settings.response_ns
        if drawn.latencies_ns:
            entry = response = int(random.choice(self._first(drawn.latencies_ns)))
        queue = str(random.choice(self._first(drawn.queues))) if drawn.queues else settings.queue
        self.data = place.tape.data
        self._flow[:] = 0.0
        config = ReplayConfig(
            start_ns=int(place.opening.ts[-1]) if len(place.opening.ts) else int(self.data.ts[0]),
            cycle_ns=settings.cycle_ns,
            entry_ns=entry,
            response_ns=response,
            queue=queue,
            limits=settings.limits,
            ask=True,
        )
        if place.price is not None:  # the window that it would choose itself, before there is memory for another
            config = replace(config, window_ticks=window_of(config, place.price))
        params = settings.rule
        self.replay = Replay(
            instrument,
            config,
            settings.strategy,
            {**params, "levels": settings.levels, "base_quantity": 0.0, "max_position": 0.0},
            self.lanes,
            quote_units=round(settings.capital * 1e8),
        )
        self.replay.use_large_pages()  # episodes are short: else a fifth of the time goes into making pages
        if len(place.opening.ts):
            self.replay.feed(place.opening)
        self._tell(place.row, settings.decisions if decisions is None else decisions)
        for _ in range(settings.warm_up + 1):
            if not self._advance():
                raise UsageError("the tape ends within an episode's warm-up")
            kernel.steer(self.replay.address, *self._still, 0)
        self._look(begin=1)

    def _tell(self, row: int, decisions: int) -> None:
        """Write the row of the table for an episode."""
        self._columns = [np.ascontiguousarray(column) for column in self.data]
        told = self.table[0]
        told[play.LANES], told[play.COUNT] = self.lanes, len(self.data.ts)
        told[play.COLUMNS : play.COUNT] = [column.ctypes.data for column in self._columns]
        told[play.ROW], told[play.HEARD] = row, row if self.settings.extended else -1
        told[play.LEFT], told[play.READY] = decisions, 0
        told[play.REMEMBERED], told[play.TRADES] = self._memory.ctypes.data, self._flow.ctypes.data
        told[play.OBSERVATION] = self.observation.ctypes.data

    def _first(self, values: Sequence[Any]) -> Sequence[Any]:
        """What the curriculum has reached of it."""
        return values[: max(1, math.ceil(self.share * len(values)))]

    def _advance(self, status: int | None = None) -> bool:
        """Go on to the next decision; ``status``: what has stopped the engine on its way there."""
        told = self.table[0]
        told[play.ROW], decides = self.replay.run_to_decision(self.data, int(told[play.ROW]), status)
        told[play.ENGINE] = self.replay.address
        if told[play.READY] == 0:
            self._size()
        if self.settings.extended:
            told[play.HEARD] = self._hear(int(told[play.HEARD]))
        return decides

    def _hear(self, row: int) -> int:
        data = self.data
        columns = (data.ts, data.ts_local, data.kind, data.flags, data.qty)
        config = self.replay.config
        return int(kernel.hear(*columns, row, self.replay.decision_ns, config.feed_ns, self._flow))

    def _size(self) -> None:
        """Fix quantities at the first mid."""
        instrument = self.replay.instrument
        mid2 = float(self.replay.market[LAST_MID2])
        if mid2 > 0.0:
            mid = 0.5 * mid2 * float(instrument.tick)
            self.replay.parameters[:, -2:] = self.settings.sizes(mid, float(instrument.lot))
            self.table[0, play.READY] = 1

    def _look(self, begin: int = 0) -> None:
        kernel.look(
            self.replay.address,
            begin,
            self.settings.ruin,
            self._memory,
            self._scratch,
            self._flow,
            self.observation,
            self.terms,
            self.ruined,
        )

    def step(self, continuous: F32, discrete: I64) -> bool:
        """Take a decision and run to the next; whether the episode is cut there."""
        kernel.steer(self.replay.address, continuous, discrete, self.settings.levels)
        self.table[0, play.LEFT] -= 1
        return self._arrive(None)

    @property
    def is_looked_at(self) -> bool:
        """Whether :func:`~tidewright.agents.executor.environment_play.play` has left nothing of its step to do."""
        return bool(self.table[0, play.STATUS] == LOOK and self.table[0, play.READY] == 1)

    def land(self) -> bool:
        """Finish a step that :func:`~tidewright.agents.executor.environment_play.play` has begun; as :meth:`step`."""
        if self.is_looked_at:
            return bool(self.table[0, play.LEFT] <= 0)
        return self._arrive(int(self.table[0, play.STATUS]))

    def _arrive(self, status: int | None) -> bool:
        if not self._advance(status):
            self.ruined[:] = False
            self.terms[:] = 0.0
            self.observation[1] = self.observation[0]
            return True
        self._look()
        return bool(self.table[0, play.LEFT] <= 0)


class TapeEnvironment:
    """Many lanes on tapes, in cohorts; see the module's page.

    Parameters
    ----------
    tapes
        Recorded or synthetic markets.
    lanes, cohorts
        How many; lanes are dealt evenly.
    settings
        What lanes trade with.
    seed
        Of the starts and of what is randomised.
    threads
        Cohorts that run at once; ``None``: as many as there are cores.

    Raises
    ------
    UsageError
        If an episode does not fit on a tape, or a number is out of range.
    """

    def __init__(
        self,
        tapes: Sequence[Tape],
        lanes: int = 64,
        cohorts: int = 8,
        settings: TapeSettings | None = None,
        seed: int = 0,
        threads: int | None = None,
    ) -> None:
        self.settings = settings or TapeSettings()
        if not tapes:
            raise UsageError("an environment needs at least one tape")
        if not 1 <= cohorts <= lanes:
            raise UsageError(f"cohorts must be in 1..lanes ({lanes}), were {cohorts}")
        self._lanes, self._seed = lanes, seed
        places = [place for tape in tapes for place in starts(tape, self.settings)]
        sizes = [len(part) for part in np.array_split(np.arange(lanes), cohorts)]
        draws = np.random.SeedSequence(seed).spawn(cohorts)
        self.cohorts = [
            Cohort(places, size, self.settings, np.random.default_rng(draw))
            for size, draw in zip(sizes, draws, strict=True)
        ]
        ends = np.cumsum(sizes)
        self._parts = [slice(int(end) - size, int(end)) for end, size in zip(ends, sizes, strict=True)]
        count = min(cohorts, threads or cores())
        self._pool = ThreadPoolExecutor(count - 1, "cohort") if count > 1 else None
        self._groups = [list(range(cohorts))[k::count] for k in range(count)]
        self._tables: list[I64] = [np.zeros((len(indices), play.FIELDS), np.int64) for indices in self._groups]
        for indices, table in zip(self._groups, self._tables, strict=True):
            for place, index in enumerate(indices):
                self.cohorts[index].share_table(table[place : place + 1], self._parts[index].start)
        self._replay = play.replay_at()
        self._own_strategy = self.settings.strategy != STRATEGY

    @property
    def lanes(self) -> int:
        """How many."""
        return self._lanes

    @property
    def spaces(self) -> Spaces:
        """Eight numbers in; spread, skew and spacing, levels and stance out."""
        return Spaces(self.settings.observation, 3, (self.settings.levels + 1, kernel.STANCES))

    def reset(self, seed: int | None = None) -> F32:
        """Begin everywhere anew; first episodes are of different lengths, so that not all end at once."""
        if seed is not None:
            for cohort, draw in zip(self.cohorts, np.random.SeedSequence(seed).spawn(len(self.cohorts)), strict=True):
                cohort.random = np.random.default_rng(draw)
        count = len(self.cohorts)
        seen: F32 = np.empty((self._lanes, self.settings.observation), np.float32)

        def begin(group: int) -> None:
            for index in self._groups[group]:
                cohort = self.cohorts[index]
                cohort.begin(-(-self.settings.decisions * (index + 1) // count))
                seen[self._parts[index]] = cohort.observation[0]

        self._each(begin)
        return seen

    def widen(self, share: float) -> None:
        """Draw coming episodes from the first part of the tapes' places, fees, latencies and queue models.

        Parameters
        ----------
        share
            Of each list, 0 to 1; at least the first of each.
        """
        for cohort in self.cohorts:
            cohort.share = share

    def step(self, continuous: F32, discrete: I64) -> Step:
        """Take a decision of every lane and run to the next one."""
        continuous = np.ascontiguousarray(continuous, np.float32)
        discrete = np.ascontiguousarray(discrete, np.int64)
        require_numbers(continuous)
        seen: F32 = np.empty((self._lanes, self.settings.observation), np.float32)
        led_to = np.empty_like(seen)
        terms: F32 = np.empty((self._lanes, len(TERMS)), np.float32)
        ruined: Bool = np.empty(self._lanes, np.bool_)
        cut: Bool = np.zeros(self._lanes, np.bool_)

        def advance(group: int) -> None:
            table, settings = self._tables[group], self.settings
            scratch: F64 = np.empty(len(NAMES))
            chosen = (settings.levels, settings.ruin, continuous, discrete)
            waiting = play.play(self._replay, table, *chosen, seen, led_to, terms, ruined, scratch)
            if waiting or self._own_strategy:
                for index in self._groups[group]:
                    self._land(index, seen, led_to, terms, ruined, cut)

        self._each(advance)
        parts = {name: terms[:, index] for index, name in enumerate(TERMS)}
        return Step(seen, self.settings.reward.of(terms), ruined, cut & ~ruined, led_to, parts)

    def _land(self, index: int, seen: F32, led_to: F32, terms: F32, ruined: Bool, cut: Bool) -> None:
        """What is left of a cohort's step: to look at it, to begin an episode."""
        cohort, part = self.cohorts[index], self._parts[index]
        cohort.replay.check_strategy()
        looked = cohort.is_looked_at
        ends = cohort.land()
        if not looked:
            ruined[part], terms[part], led_to[part] = cohort.ruined, cohort.terms, cohort.observation[1]
        cut[part] = ends
        if ends:
            cohort.begin()
        if ends or not looked:
            seen[part] = cohort.observation[0]

    def _each(self, work: Callable[[int], None]) -> None:
        """Do something with every group of cohorts, at once."""
        if self._pool is None:
            work(0)
            return
        others = [self._pool.submit(work, group) for group in range(1, len(self._groups))]
        work(0)
        for other in others:
            other.result()

    def close(self) -> None:
        """Let go of the threads."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
