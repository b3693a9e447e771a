"""Who sits in the executor's chair, and how its sizes follow its edge: settings of a session."""

from dataclasses import dataclass, field

from tidewright.agents.executor.challenge import ChallengeRules
from tidewright.agents.executor.seat import BASE
from tidewright.agents.executor.sizing import SizingRules
from tidewright.market.errors import UsageError

SIZINGS = ("fixed", "kelly")


@dataclass(frozen=True, slots=True)
class SeatSettings:
    """What a session is told about its chair.

    Attributes
    ----------
    policy
        File of the policy that sits; ``"base"``: the base rule of ``shaped``; empty: no chair, the strategy quotes by
        its parameters.
    override_examination
        Whether a policy sits although its examinations or its fees speak against it.
    challenger
        File of a policy that challenges, or ``"base"``; empty: nobody.
    challenge
        How a challenger is tried.
    fine_tune
        Whether the optimizer trains the seated policy on, on the session's tape, and proposes what comes of it.
    sizing
        ``"fixed"``: ``base_quantity`` is quoted; ``"kelly"``: a share of it, see
        :mod:`tidewright.agents.executor.sizing`.
    kelly
        Its rules.
    """

    policy: str = ""
    override_examination: bool = False
    challenger: str = ""
    challenge: ChallengeRules = field(default_factory=ChallengeRules)
    fine_tune: bool = False
    sizing: str = "fixed"
    kelly: SizingRules = field(default_factory=SizingRules)

    def __post_init__(self) -> None:
        if self.sizing not in SIZINGS:
            raise UsageError(f"sizing must be one of {', '.join(SIZINGS)}, was {self.sizing!r}")
        if self.challenger and not self.policy:
            raise UsageError('a challenger needs somebody to challenge: name a policy, or policy = "base"')
        if self.challenger and self.challenger == self.policy:
            raise UsageError(f"{self.challenger} cannot challenge itself")
        if self.fine_tune and self.policy in ("", BASE):
            raise UsageError("only a learned policy can be trained on: name one")

    @property
    def used(self) -> bool:
        """Whether a session has a chair at all."""
        return bool(self.policy) or self.sizing != "fixed"
