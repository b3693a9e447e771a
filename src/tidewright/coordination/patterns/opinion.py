"""What a pattern hears and what comes out of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Opinion:
    """One agent's word at one decision.

    Attributes
    ----------
    agent
        Its name.
    params
        Numbers it would trade with, by name.
    stance
        -2 strong sell to 2 strong buy.
    confidence
        What it believes of itself, in [0, 1].
    """

    agent: str
    params: Mapping[str, float] = field(default_factory=dict)
    stance: int = 0
    confidence: float = 0.5


@dataclass(frozen=True, slots=True)
class Result:
    """What became known of one agent since the last decision.

    Attributes
    ----------
    loss
        In [0, 1], 0 best; of its shadow account, whether it was followed or not.
    confidence, came_true
        The confidence it had declared, and whether it was right; ``None`` where it said nothing.
    """

    loss: float
    confidence: float | None = None
    came_true: bool | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """A pattern's decision.

    Attributes
    ----------
    params
        Numbers to trade with.
    stance
        Direction that may be ordered, -2 to 2; 0: none.
    shares
        Each agent's share of the capital, at least 0, together at most 1.
    why
        A sentence for people.
    belief
        Probability that the price rises, as forecasts were put together; ``None``: there are none that count.
    """

    params: Mapping[str, float]
    stance: int
    shares: Mapping[str, float]
    why: str
    belief: float | None = None

    @property
    def lean(self) -> int:
        """Direction to lean towards, -2 to 2: the stance; without one a step where two thirds are believed."""
        if self.stance or self.belief is None:
            return self.stance
        return 1 if self.belief >= 2 / 3 else -1 if self.belief <= 1 / 3 else 0


class Pattern(Protocol):
    """A way to decide together. Deterministic: the same opinions and results give the same outcome."""

    name: str

    def decide(self, incumbent: Mapping[str, float], opinions: Sequence[Opinion]) -> Outcome:
        """The decision on these opinions; an agent that is silent has none among them."""
        ...

    def believe(self, beliefs: Mapping[str, float]) -> float | None:
        """One probability of those that agents gave to the same event, each in (0, 1); ``None``: they do not count."""
        ...

    def learn(self, results: Mapping[str, Result]) -> None:
        """Take in what became known; an agent that is absent is left as it is."""
        ...


def shared_names(incumbent: Mapping[str, float], opinions: Sequence[Opinion]) -> list[str]:
    """Names of numbers that the incumbent has and at least one opinion speaks of, in the incumbent's order."""
    return [name for name in incumbent if any(name in opinion.params for opinion in opinions)]
