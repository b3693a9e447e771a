"""What agents of a pattern and people say: forecasts, votes, signs of life, risk events, commands."""

from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from tidewright.coordination.payloads import Name, Number, Payload, Probability, Text

Pattern = Literal["master_slave", "peer_to_peer", "hierarchical", "democratic"]
PATTERNS: Final[tuple[Pattern, ...]] = ("master_slave", "peer_to_peer", "hierarchical", "democratic")
Stance = Literal[-2, -1, 0, 1, 2]


class Insight(Payload):
    """A forecast.

    Attributes
    ----------
    subject
        What is forecast: ``return``, ``volatility``, a parameter's name, ...
    value
        The forecast; for ``probability`` subjects in [0, 1].
    horizon_ns
        How far ahead it looks, nanoseconds of market time.
    confidence_score
        Probability the sender gives its own forecast: of the right sign, or of being nearer than the incumbent's.
    uncertainty
        One standard deviation of the forecast's error, in its unit; absent: not said.
    insight_id
        The forecast's own id.
    """

    subject: Name
    value: float
    horizon_ns: Annotated[int, Field(gt=0)]
    confidence_score: Probability
    uncertainty: Annotated[float, Field(ge=0.0)] | None = None
    insight_id: Name | None = None


class Vote(Payload):
    """One voter's word on one question.

    Attributes
    ----------
    question
        What is voted on, the same text for all voters: ``epoch-1700000000000000000``.
    round
        Number of the round, so that a vote of an earlier one cannot count again.
    stance
        -2 strong sell, -1 sell, 0 hold, 1 buy, 2 strong buy.
    params
        The numbers the voter would trade with, by name.
    confidence_score
        What the voter believes of itself; its weight is earned, not declared.
    """

    question: Name
    round: Annotated[int, Field(ge=0)]
    stance: Stance = 0
    params: dict[Name, Number] = Field(default_factory=dict)
    confidence_score: Probability


class Heartbeat(Payload):
    """A sign of life.

    Attributes
    ----------
    beat
        Rising number of the sign.
    role
        ``master``, ``standby``, ``advisor``, ``voter``, ...
    token
        Fencing token of a master: what bears a lower one than was seen is not acted on.
    """

    beat: Annotated[int, Field(ge=0)]
    role: Name
    token: Annotated[int, Field(ge=0)] = 0


class RiskEvent(Payload):
    """A limit that fired, tightened or was lifted.

    Attributes
    ----------
    event
        One word: ``breach``, ``tightened``, ``halted``, ``flattened``, ``lifted``, ...
    rule
        The limit.
    value, limit
        What was measured and what is allowed.
    action
        What was done about it.
    cause
        A sentence for people.
    """

    event: Name
    rule: Name
    value: float | None = None
    limit: float | None = None
    action: Name | None = None
    cause: Text


CommandName = Literal["stop", "emergency_stop", "pause", "resume", "set_parameters", "set_coordination"]


class Command(Payload):
    """What an operator wants a session to do.

    Attributes
    ----------
    command
        ``stop`` ends in order; ``emergency_stop`` cancels every order at once and ends, flattening if asked; ``pause``
        takes all quotes away until ``resume``; ``set_parameters`` and ``set_coordination`` change what is in force.
    command_id
        Its own id: the same command twice is one.
    params
        Of ``set_parameters``: parameters by name; those not named stay.
    pattern
        Of ``set_coordination``.
    flatten
        Of ``emergency_stop``: trade the position back to what it was at the start, at the market.
    reason
        For the journal.
    """

    command: CommandName
    command_id: Name
    params: dict[Name, Number] | None = None
    pattern: Pattern | None = None
    flatten: bool = False
    reason: Annotated[str, Field(max_length=4096)] = ""

    @model_validator(mode="after")
    def _complete(self) -> "Command":
        if (self.params is not None) != (self.command == "set_parameters"):
            raise ValueError(f"params belong to set_parameters and only to it, the command was {self.command}")
        if self.params == {}:
            raise ValueError("params must name at least one parameter")
        if (self.pattern is not None) != (self.command == "set_coordination"):
            raise ValueError(f"pattern belongs to set_coordination and only to it, the command was {self.command}")
        if self.flatten and self.command != "emergency_stop":
            raise ValueError(f"flatten belongs to emergency_stop, the command was {self.command}")
        return self
