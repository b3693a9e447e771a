"""What a message carries: one model for the data of each message type.

Every model is strict: a number is a JSON number, a count a whole one, nothing is converted silently. Data may hold more
than is named here (a later version's fields), as long as every number in it is finite.
"""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tidewright.coordination.policy_payloads import (
    ChallengeComparison,
    ChallengeRequest,
    PolicyProposal,
    PolicyReference,
)
from tidewright.market.codes import UNIT
from tidewright.strategies.custom import is_reference
from tidewright.strategies.registry import STRATEGIES

Text = Annotated[str, Field(min_length=1, max_length=4096)]
Name = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_.:/@-]+$")]
# A strategy's name, or where the file of a user's own lies: any path, but nothing that could break a line.
StrategyName = Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^[^\x00-\x1f\x7f]+$")]
Amount = Annotated[str, Field(max_length=64, pattern=r"^-?\d+(\.\d{1,8})?$")]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Rate = Annotated[int, Field(gt=-UNIT, lt=UNIT)]
Number = int | float

SCHEMA_PARAMETERS: Final = ("spread_percentage", "levels", "base_quantity", "max_position")


class Payload(BaseModel):
    """Data of a message: strict, finite, extra fields kept."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)


class Closed(BaseModel):
    """A part of a message with no room for unnamed fields."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class OptimizedParams(Payload):
    """Parameters of a strategy. Any further one the strategy names is a number.

    Attributes
    ----------
    spread_percentage
        Distance of the first bid to the first ask in percent of the mid (0.18 means 0.18 %).
    levels
        Quotes a side.
    base_quantity
        Quantity of one quote, base units.
    max_position
        Net filled quantity at which a side is left out, base units.
    """

    __pydantic_extra__: dict[str, Number]

    spread_percentage: Annotated[float | None, Field(gt=0.0, le=100.0)] = None
    levels: Annotated[int | None, Field(ge=1)] = None
    base_quantity: Annotated[float | None, Field(gt=0.0)] = None
    max_position: Annotated[float | None, Field(ge=0.0)] = None

    @model_validator(mode="before")
    @classmethod
    def _no_null(cls, value: Any) -> Any:
        if isinstance(value, dict):
            for key, part in value.items():
                if part is None:
                    raise ValueError(f"parameter {key} must be a number, was null")
        return value

    def values(self) -> dict[str, float]:
        """The parameters that are there, by name."""
        return {key: float(value) for key, value in self.model_dump(exclude_none=True).items()}


class PerformanceMetrics(Payload):
    """Figures of the proposed parameters. Any further one is a number, or null where it is undefined.

    Attributes
    ----------
    sqn_score
        System quality number: mean over deviation of the results, times the root of their count.
    sharpe_ratio
        Annualised Sharpe ratio.
    max_drawdown
        Largest fall of equity from a peak, a fraction of the peak.
    """

    __pydantic_extra__: dict[str, Number | None]

    sqn_score: float
    sharpe_ratio: float
    max_drawdown: Annotated[float, Field(ge=0.0, le=1.0)]


class Checks(Payload):
    """What a proposal says of itself for the executor's gate; what is not known is null or absent.

    Attributes
    ----------
    deflated_sharpe
        Deflated Sharpe ratio of the in-sample difference to the incumbent, against the best of all trials ever made.
    overfitting
        Probability of backtest overfitting (CSCV) over the candidates of this epoch.
    loss
        Of the same splits, the share in which the best in sample earned less than the incumbent out of sample.
    stability
        Share of the gain in the objective that the median neighbour keeps, judged in the same replay.
    worst_neighbour
        The share the worst neighbour keeps; below 0: it would lose against the incumbent.
    paired_lower, paired_upper
        Interval of the mean out-of-sample difference a cycle, quote.
    """

    deflated_sharpe: Probability | None = None
    overfitting: Probability | None = None
    loss: Probability | None = None
    stability: float | None = None
    worst_neighbour: float | None = None
    paired_lower: float | None = None
    paired_upper: float | None = None


class Shadow(Payload):
    """Two shadow lanes over a stretch of live market: new parameters and those they replaced.

    Attributes
    ----------
    proposal_id
        The accepted proposal the new ones came with.
    from_ns, until_ns, cycles
        The stretch, and the decisions in it.
    block, differences
        Cycles a block, and new less old lane's equity change of each block, quote, oldest first.
    """

    proposal_id: Name
    from_ns: int
    until_ns: int
    cycles: Annotated[int, Field(ge=0)]
    block: Annotated[int, Field(ge=1)]
    differences: list[Number]


class ParameterUpdate(Payload):
    """A proposal: take these parameters.

    Attributes
    ----------
    confidence_score
        Probability that the proposal beats the incumbent over the next epoch, out of sample.
    strategy
        Whose parameters they are; absent: the four names of the schema are all there.
    proposal_id, in_reply_to
        The proposal's own id, and the id of the request it answers.
    trials
        Parameter sets ever judged by the sender in this session.
    checks
        Figures for the executor's gate.
    shadow, challenge
        The comparisons the request asked for.
    policy_proposal
        A policy proposed to be seated, beside the parameters.
    """

    optimized_params: OptimizedParams
    performance_metrics: PerformanceMetrics
    confidence_score: Probability
    strategy: StrategyName | None = None
    proposal_id: Name | None = None
    in_reply_to: Name | None = None
    trials: Annotated[int, Field(ge=1)] | None = None
    checks: Checks | None = None
    shadow: Shadow | None = None
    challenge: ChallengeComparison | None = None
    policy_proposal: PolicyProposal | None = None

    @model_validator(mode="after")
    def _complete(self) -> "ParameterUpdate":
        if self.strategy is not None and is_reference(self.strategy):
            return self  # a file is not opened because a message names it; who acts on the message knows its strategy
        known = STRATEGIES.get(self.strategy) if self.strategy is not None else None
        needed = [name for name in SCHEMA_PARAMETERS if known is None or name in known.names]
        missing = [name for name in needed if getattr(self.optimized_params, name) is None]
        if missing:
            raise ValueError(f"optimized_params must name {', '.join(needed)}; missing: {', '.join(missing)}")
        return self


class Latency(Closed):
    """Constant latencies, nanoseconds of market time."""

    feed_ns: Annotated[int, Field(ge=0)] = 0
    entry_ns: Annotated[int, Field(ge=0)] = 0
    response_ns: Annotated[int, Field(ge=0)] = 0


class Fees(Closed):
    """Fee rates, integers of 1e-8 (0.1 % is 100000); negative is a rebate."""

    maker: Rate
    taker: Rate


class LimitRequest(Closed):
    """Risk limits as :class:`tidewright.risk.limits.Limits`; null switches one off."""

    max_position_share: Annotated[float, Field(gt=0.0)] | None = None
    stop_loss: Annotated[float, Field(gt=0.0)] | None = None
    daily_loss: Annotated[float, Field(gt=0.0)] | None = None
    volatility_cutoff: Annotated[float, Field(gt=0.0)] | None = None
    drawdown: Annotated[float, Field(gt=0.0)] | None = None
    order_notional: Annotated[float, Field(gt=0.0)] | None = None
    price_collar: Annotated[float, Field(gt=0.0)] | None = None
    orders_per_minute: Annotated[float, Field(gt=0.0)] | None = None
    strict: bool = False
    flatten: bool = False
    day_offset_hours: Annotated[float, Field(ge=-12.0, le=14.0)] = 0.0
    flatten_patience: Annotated[int, Field(ge=0)] | None = 1
    flatten_slices: Annotated[int, Field(ge=1)] = 2
    flatten_collar: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.01


class SpaceEntry(Closed):
    """Range of one searched parameter, ends included."""

    low: float
    high: float
    kind: Literal["float", "log", "int"] = "float"


class ShadowRequest(Closed):
    """Compare these two on the market since a time; see :class:`Shadow`."""

    proposal_id: Name
    candidate: OptimizedParams
    incumbent: OptimizedParams
    from_ns: int
    block: Annotated[int, Field(ge=1)] = 10


class Traded(Closed):
    """Parameters that traded from a time on."""

    from_ns: int
    params: OptimizedParams


class OptimizeRequest(Payload):
    """A session asks for better parameters.

    Attributes
    ----------
    tape, rows
        The session's growing tape and how many of its rows may be read.
    from_ns, until_ns
        Market time that may be judged on, nanoseconds; nothing at or after ``until_ns`` is looked at.
    strategy, incumbent
        The strategy, a name or ``/path/file.py:name``, and its parameters now.
    strategy_digest
        Of a user's own strategy: what its file was when the session began; another one is refused.
    equity, position
        Decimal text: equity in the quote asset, and the strategy's net position in the base asset.
    base
        Decimal text: what of the base asset the account started with (the inventory that can be sold).
    limits
        Risk limits of the session; absent: none.
    cycle_ns, epoch_ns
        Time between decisions, and the stretch a proposal is meant for.
    queue, check_balance
        Queue model, and whether lanes must hold what they sell, as the session's venue has it.
    space
        Ranges by parameter name; absent: those of the strategy registry.
    candidates, generations, seed
        Size of the search (parameter sets a generation) and its random seed.
    shadow
        Accepted parameters that are watched, and those they replaced, to be compared on what has come since.
    traded
        What traded since the last request, oldest first; for the account of regret.
    policy
        Who sits in the executor's chair: all candidates are judged as the base rule's parameters under it.
    challenge
        Two policies to be compared on what has come since.
    fine_tune
        Whether the policy is to be trained on, on the market so far.
    """

    tape: Text
    rows: Annotated[int, Field(ge=0)]
    from_ns: int
    until_ns: int
    strategy: StrategyName
    strategy_digest: Name | None = None
    incumbent: OptimizedParams
    limits: LimitRequest | None = None
    latency: Latency = Latency()
    fees: Fees | None = None
    equity: Amount
    position: Amount = "0"
    base: Amount = "0"
    cycle_ns: Annotated[int, Field(gt=0)] = 30_000_000_000
    epoch_ns: Annotated[int, Field(gt=0)] = 1_800_000_000_000
    queue: Literal["risk_averse", "prob"] = "risk_averse"
    check_balance: bool = False
    space: dict[str, SpaceEntry] | None = None
    candidates: Annotated[int, Field(ge=2, le=65_536)] = 512
    generations: Annotated[int, Field(ge=1, le=1_000)] = 2
    seed: Annotated[int, Field(ge=0)] = 0
    request_id: Name | None = None
    shadow: ShadowRequest | None = None
    traded: list[Traded] | None = None
    policy: PolicyReference | None = None
    challenge: ChallengeRequest | None = None
    fine_tune: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> "OptimizeRequest":
        if self.until_ns <= self.from_ns:
            raise ValueError(f"until_ns must be > from_ns {self.from_ns}, was {self.until_ns}")
        return self


class Decision(Payload):
    """The executor's answer to a proposal.

    Attributes
    ----------
    in_reply_to
        The proposal's id.
    accepted, reasons
        Whether it is in use now, and why; a refusal has at least one reason.
    stage
        Where the proposal stands: ``refused``, ``canary`` (at small size), ``full``, ``rolled_back``, ``replaced``.
    params, previous
        The new parameters and those they replaced, at full size.
    """

    in_reply_to: Name
    accepted: bool
    reasons: list[Text] = []
    confidence_score: Probability | None = None
    stage: Literal["refused", "canary", "full", "rolled_back", "replaced"] | None = None
    params: dict[str, Number] | None = None
    previous: dict[str, Number] | None = None

    @model_validator(mode="after")
    def _explained(self) -> "Decision":
        if not self.accepted and not self.reasons:
            raise ValueError("a refusal must give at least one reason, reasons was empty")
        return self


class Status(Payload):
    """What an agent is doing, and why it has nothing better to say.

    Attributes
    ----------
    state
        One word: ``ready``, ``no_proposal``, ``error``, ``stopped``, ...
    reason
        A sentence for people.
    in_reply_to
        The id of the request this answers, if it answers one.
    shadow, challenge
        The comparisons the request asked for.
    policy_proposal
        A policy proposed to be seated.
    """

    state: Name
    reason: Annotated[str, Field(max_length=4096)] = ""
    in_reply_to: Name | None = None
    shadow: Shadow | None = None
    challenge: ChallengeComparison | None = None
    policy_proposal: PolicyProposal | None = None
