"""What a session is told: plain values, checked once, kept in the store without secrets."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from tidewright.agents.executor.canary import CanaryRules
from tidewright.agents.executor.proposals import Gate
from tidewright.agents.optimizer.verdict import THRESHOLD
from tidewright.coordination.agent_payloads import PATTERNS
from tidewright.market.clock import HOUR, MILLISECOND, MINUTE, SECOND
from tidewright.market.errors import UsageError
from tidewright.risk.correlation import Watch
from tidewright.risk.dynamic import Rules
from tidewright.risk.limits import Limits
from tidewright.risk.portfolio import PortfolioLimits
from tidewright.strategies import registry
from tidewright.trading.seat_settings import SeatSettings

RESERVED: Final = ("executor", "optimizer", "operator", "agents", "all", "journal")
QUEUE: Final = "risk_averse"  # queue model of all lanes that are judged beside a session
_AGENT: Final = re.compile(r"[A-Za-z0-9_-]{1,40}", re.ASCII)


@dataclass(frozen=True, slots=True)
class AdviceSettings:
    """How the optimizer is asked and believed.

    Attributes
    ----------
    epoch_ns
        Time between requests, market time.
    window_ns
        Market the optimizer looks back on: the newest stretch, so that yesterday's regime does not decide.
    answer_cycles
        Decisions after a request at which its answer takes effect.
    threshold
        Least confidence that is acted on.
    candidates, generations, seed
        Size of the search and its seed, passed on.
    timeout_s
        Wall seconds to wait for an answer that is due, in lockstep; and the least, at every pace, after which a request
        that was given up counts as lost.
    idle
        With real money: whether the optimizer's process runs only while nothing else wants the core.
    still_before_ns
        In real time: how long before each decision its process is stopped, to go on when the cycle is over; ``None``:
        never (Linux).
    nice, cpu_share, memory_mb
        What it may take: niceness added, share of one core over 0 to 1, most private memory in MiB (0: no bound).
    gate
        What a proposal's own figures must reach.
    canary
        How accepted parameters are tried before they are used fully, and when they are rolled back.
    """

    epoch_ns: int = 30 * MINUTE
    window_ns: int = 4 * HOUR
    answer_cycles: int = 10
    threshold: float = THRESHOLD
    candidates: int = 512
    generations: int = 2
    seed: int = 0
    timeout_s: float = 120.0
    idle: bool = True
    still_before_ns: int | None = 20 * MILLISECOND
    nice: int = 10
    cpu_share: float = 1.0
    memory_mb: int = 4096
    gate: Gate = field(default_factory=Gate)
    canary: CanaryRules = field(default_factory=CanaryRules)


@dataclass(frozen=True, slots=True)
class RiskSettings:
    """Risk of a session beyond its limits.

    Attributes
    ----------
    portfolio
        Limits on VaR, concentration and liquidity.
    dynamic
        How limits tighten; ``None``: they stay as set.
    daily_volume
        Of the instrument, base units, for the cost of leaving; 0: what the session has seen trade, scaled to a day.
    others
        Tapes of other instruments, by name, whose correlation with the session's own is watched.
    correlation
        When that raises an alarm.
    holdings
        What is held of others elsewhere, base units, signed: the portfolio's limits count it.
    """

    portfolio: PortfolioLimits = field(default_factory=PortfolioLimits)
    dynamic: Rules | None = field(default_factory=Rules)
    daily_volume: float = 0.0
    others: Mapping[str, str] = field(default_factory=dict)
    correlation: Watch = field(default_factory=Watch)
    holdings: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        strange = sorted({*self.holdings} - {*self.others})
        if strange:
            raise UsageError(f"{strange[0]} is held and has no tape: name it in [correlation] tapes")
        if not 0 <= self.daily_volume < float("inf"):
            raise UsageError(f"daily_volume must be >= 0 and finite, was {self.daily_volume}")


@dataclass(frozen=True, slots=True)
class StrategyAgent:
    """A strategy that is an agent of its own, with a sub-account on the session's account.

    Attributes
    ----------
    strategy
        As :attr:`SessionSettings.strategy`.
    params
        Parameters it would trade the whole capital with; its sizes are scaled by its share of it.
    policy
        File of a learned policy that steers the strategy; empty: nobody does.
    """

    strategy: str
    params: Mapping[str, float] = field(default_factory=dict)
    policy: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "strategy", registry.strategy(self.strategy).name)
        registry.rows(self.strategy, self.params, 1)


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """Agents of other processes that vote with the executor and the optimizer, or several strategies on one account.

    Attributes
    ----------
    strategies
        Agents that trade, by name, the master first; empty: one strategy trades.
    names
        Who may be heard over NATS.
    commands
        Program and arguments of agents that are children of the session, by name.
    round_cycles
        Decisions from one vote to the next.
    nats
        URL of the server; empty: none.
    keys
        File of the agents' keys; needed with ``nats``.
    neighbours
        Whom each member hears in ``peer_to_peer``, both ways; of a member that is not named: all.
    user, ca, certificate, key
        As :class:`tidewright.coordination.nats_bus.NatsSettings`; the password is in ``TIDEWRIGHT_NATS_PASSWORD``.
    """

    names: tuple[str, ...] = ()
    commands: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    round_cycles: int = 10
    nats: str = ""
    prefix: str = "tidewright"
    keys: str = ""
    user: str = ""
    ca: str = ""
    certificate: str = ""
    key: str = ""
    strategies: Mapping[str, StrategyAgent] = field(default_factory=dict)
    neighbours: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.strategies) == 1:
            raise UsageError("several agents trade from two on; with one, name it as the session's strategy")
        known = {*self.strategies, *self.members, *RESERVED[:2]}
        strange = {*self.neighbours, *(name for heard in self.neighbours.values() for name in heard)} - known
        if strange:
            raise UsageError(f"{min(strange)} is no neighbour: agents are {', '.join(sorted(known))}")
        both = sorted({*self.strategies} & {*self.members})
        if both:
            raise UsageError(f"{both[0]} cannot both trade and be an agent of another process: name one otherwise")
        for name in self.strategies:
            if name in RESERVED:
                raise UsageError(f"agents may not be named {', '.join(RESERVED)}: others have these names")
            if not _AGENT.fullmatch(name):
                raise UsageError(f"an agent's name is 1 to 40 letters, digits, _ or -, was {name!r}")
        if self.round_cycles < 1:
            raise UsageError(f"a round has at least 1 cycle, was {self.round_cycles}")
        if self.names and not self.nats:
            raise UsageError(f'agents {", ".join(self.names)} speak over NATS: name its URL, nats = "nats://..."')
        if self.nats and not self.keys:
            raise UsageError("agents over NATS need a key file: keys = FILE of `tidewright messages keys`")

    @property
    def tuned(self) -> tuple[str, ...]:
        """Agents that trade and whose parameters the optimizer can tune: those that no policy steers."""
        return tuple(name for name, agent in self.strategies.items() if not agent.policy)

    @property
    def members(self) -> tuple[str, ...]:
        """All of them, in the order of their names."""
        return tuple(sorted({*self.names, *self.commands}))


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """How a session trades.

    Attributes
    ----------
    mode
        ``"paper"`` or ``"live"``.
    strategy
        Name of a built-in, or ``FILE.py:NAME`` of a user's own (kept with its whole path).
    cycle_ns
        Time between decisions, market time.
    warmup_ns
        Market that is recorded before the first decision.
    duration_ns
        How long it trades; 0: until the market ends or it is stopped.
    limits, risk
        What no order passes; what is tightened, and when.
    advice
        ``None``: no optimizer.
    adopt
        Whether a restart follows open orders again or cancels them.
    catch_up_s
        Wall seconds that market data and user stream may lag behind a barrier.
    on_its_way_s
        Wall seconds for which an order that the venue does not know may still arrive there: no less than the age at
        which the venue refuses requests (ccxt's recvWindow on Binance), which goes by the wall at a paper exchange too.
    coordination
        Pattern in which the agents decide together, one of
        :data:`tidewright.coordination.agent_payloads.PATTERNS`.
    agents
        Further agents, beside the executor and the optimizer.
    seat
        Who sits in the executor's chair, and how sizes follow its edge.
    """

    mode: str = "paper"
    strategy: str = "grid"
    params: Mapping[str, float] = field(default_factory=dict)
    limits: Limits = field(default_factory=lambda: Limits(strict=True))
    risk: RiskSettings = field(default_factory=RiskSettings)
    cycle_ns: int = 30 * SECOND
    warmup_ns: int = 2 * HOUR
    duration_ns: int = 0
    advice: AdviceSettings | None = field(default_factory=AdviceSettings)
    adopt: bool = True
    catch_up_s: float = 20.0
    on_its_way_s: float = 10.0
    coordination: str = "master_slave"
    agents: AgentSettings = field(default_factory=AgentSettings)
    seat: SeatSettings = field(default_factory=SeatSettings)

    def __post_init__(self) -> None:
        object.__setattr__(self, "strategy", registry.strategy(self.strategy).name)
        registry.rows(self.strategy, self.params, 1)
        if self.coordination not in PATTERNS:
            raise UsageError(f"coordination must be one of {', '.join(PATTERNS)}, was {self.coordination!r}")
        if (self.seat.challenger or self.seat.fine_tune) and self.advice is None:
            raise UsageError("a challenger's shadow lanes run in the optimizer's process: switch the optimizer on")
        if self.cycle_ns < 100_000_000:
            raise UsageError(f"cycle must be at least 100 ms, was {self.cycle_ns / SECOND:g} s")
        for name, value in (("warm-up", self.warmup_ns), ("hours of trading", self.duration_ns)):
            if value < 0:
                raise UsageError(f"{name} must be >= 0, was {value / HOUR:g} h")
        if self.seat.used and self.agents.strategies:
            raise UsageError(
                "a policy or sizing is of one strategy's chair: with several agents that trade, leave it out"
            )
        if self.advice is not None:
            advice = self.advice
            if advice.epoch_ns < self.cycle_ns or advice.epoch_ns % self.cycle_ns:
                raise UsageError(
                    f"an epoch must be whole cycles of {self.cycle_ns / SECOND:g} s, was {advice.epoch_ns / SECOND:g} s"
                )
            turns = max(1, len(self.agents.tuned))
            most = advice.epoch_ns // self.cycle_ns // turns
            if self.agents.strategies and not self.agents.tuned:
                raise UsageError("the optimizer tunes rules, and a policy steers every agent here: switch it off")
            if not 1 <= advice.answer_cycles <= most:
                each = f": {turns} agents are asked about in turn, all within an epoch" if turns > 1 else ""
                raise UsageError(
                    f"an answer must take effect 1 to {most} cycles after the request, was {advice.answer_cycles}{each}"
                )
            if advice.still_before_ns is not None and not 0 <= advice.still_before_ns <= SECOND:
                raise UsageError(f"still_before must be 0 to 1 s, was {advice.still_before_ns / SECOND:g} s")
            if not 0 <= advice.threshold <= 1:
                raise UsageError(f"the confidence threshold must be in [0, 1], was {advice.threshold}")

    def to_json(self) -> dict[str, Any]:
        """Plain values for the store."""
        return asdict(self)
