"""A challenger beside whoever sits: in the shadow until the evidence is enough, then small, then fully, and back.

Both quote in shadow lanes on the live tape, at full size, with the same parameters, limits and latencies; the optimizer
replays them each epoch, without a break since the challenge began, and the executor keeps the account. All tests are
sequential (:mod:`tidewright.measure.sequential`): they may be looked at after every epoch.

* shadow: the challenger is seated once "it is no better" is refuted, dropped once "it is no worse" is refuted, and
  withdrawn when neither has come within ``most_cycles``; the k-th challenger of a session needs k times the evidence;
* canary: it sits and quotes a share of the quantity; after ``cycles`` more of shadow evidence it is used fully;
* full: it is watched for ``most_cycles`` more. In both, it goes as soon as the old one is shown to earn more.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from tidewright.agents.executor.canary import CanaryRules, Comparison
from tidewright.market.clock import iso
from tidewright.market.errors import UsageError
from tidewright.measure.sequential import HarmTest, confidence_sequence

Reference = Mapping[str, str]
Stage = Literal["shadow", "canary", "full", "settled", "refused", "withdrawn", "rolled_back"]

NONE: Final = "none"
SITS: Final = ("canary", "full")  # stages in which the challenger trades
OPEN: Final = ("shadow", *SITS)


@dataclass(frozen=True, slots=True)
class ChallengeRules:
    """How a challenger is tried.

    Attributes
    ----------
    canary
        Size and length of its trial, block of cycles, error rate of the roll-back.
    error_rate
        Probability that the first challenger of a session is ever seated though it is no better, in (0, 1); of the k-th
        it is a k-th of it.
    most_cycles
        Cycles of shadow evidence after which an undecided challenger is withdrawn, and a seated one no longer watched.
    """

    canary: CanaryRules = field(default_factory=CanaryRules)
    error_rate: float = 0.05
    most_cycles: int = 2880

    def __post_init__(self) -> None:
        if not 0.0 < self.error_rate < 1.0:
            raise UsageError(f"the challenge's error rate must be in (0, 1), was {self.error_rate}")
        if self.most_cycles < self.canary.block:
            raise UsageError(f"a challenge lasts at least {self.canary.block} cycles, was {self.most_cycles}")


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a challenge with its cause: all that a restart needs.

    Attributes
    ----------
    challenger, seated
        References of policies (name, path, SHA-256; no path: the base rule).
    from_ns
        Market time from which the shadow lanes run.
    """

    challenge_id: str
    stage: Stage
    cause: str
    at_ns: int
    challenger: Reference
    seated: Reference
    from_ns: int
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def data(self) -> dict[str, Any]:
        """As part of a ``status`` message's data."""
        return {
            "challenge_id": self.challenge_id,
            "stage": self.stage,
            "challenger": dict(self.challenger),
            "seated": dict(self.seated),
            "from_ns": self.from_ns,
            "evidence": dict(self.evidence),
        }


def step_of(data: Mapping[str, Any], at_ns: int) -> Step | None:
    """The step a journalled ``status`` message tells of, if any."""
    told = data.get("seat")
    if not isinstance(told, Mapping) or "challenge_id" not in told:
        return None
    return Step(
        str(told["challenge_id"]),
        told["stage"],
        str(data.get("reason", "")),
        at_ns,
        dict(told["challenger"]),
        dict(told["seated"]),
        int(told["from_ns"]),
        told.get("evidence") or {},
    )


def comparison_of(data: Mapping[str, Any]) -> Comparison | None:
    """The comparison of a challenge that an answer of the optimizer carries, if any."""
    return Comparison.told(data.get("challenge"), "challenge_id")


class Challenge:
    """One challenge after another; pure: the same calls give the same state.

    Parameters
    ----------
    seated
        Who sits at the beginning.

    Attributes
    ----------
    stage
        ``"none"``, or that of the newest challenge.
    seated, challenger
        Who sat when it began, and who challenges.
    """

    def __init__(self, rules: ChallengeRules, cycle_ns: int, seated: Reference) -> None:
        self.rules, self._cycle_ns = rules, cycle_ns
        self.seated: Reference = dict(seated)
        self.challenger: Reference = {}
        self.stage: str = NONE
        self.challenge_id = ""
        self.counts: dict[str, int] = {}
        self._from_ns = self._seen_ns = self._since_ns = 0
        self._cycles = self._stage_cycles = 0
        self._differences: list[float] = []
        self._begin_tests()

    def _begin_tests(self) -> None:
        self._gain = HarmTest(self.error_rate)  # of the differences' negative: "it is no better"
        self._harm = HarmTest(self.rules.canary.error_rate)

    # -- steps ---------------------------------------------------------------------------------------------------------

    def begin(self, now_ns: int, challenge_id: str, challenger: Reference) -> Step:
        """Put a challenger into the shadow.

        Raises
        ------
        UsageError
            If another one has not ended, or it is who sits.
        """
        if self.held:
            raise UsageError(f"no other challenge can begin: {self.held}")
        if challenger.get("sha256") == self.sits.get("sha256"):
            raise UsageError(f"{challenger['name']} challenges itself: it sits already")
        cause = f"{challenger['name']} challenges {self.sits['name']} in shadow lanes"
        step = Step(challenge_id, "shadow", cause, now_ns, dict(challenger), dict(self.sits), now_ns)
        self.apply(step)
        return step

    def note(self, seen: Comparison) -> bool:
        """Take in a comparison; one of another challenge, or with a stretch that was seen, is ignored, and False."""
        if self.stage not in OPEN or seen.proposal_id != self.challenge_id or not seen.follows(self._seen_ns):
            return False
        self._seen_ns = seen.until_ns
        self._cycles += seen.cycles
        self._stage_cycles += seen.cycles
        self._gain.observe(-value for value in seen.differences)
        self._harm.observe(seen.differences)
        self._differences += [float(value) for value in seen.differences]
        return True

    def observe(self, seen: Comparison, now_ns: int, wait: str = "") -> Step | None:
        """Take in a comparison: the step it causes, if any.

        Parameters
        ----------
        wait
            Why nobody can be seated now, such as parameters that run as a canary; empty: somebody can.
        """
        if not self.note(seen):
            return None
        rules, name = self.rules, self.challenger["name"]
        over = f"over {self._cycles} cycles of the same events"
        if self._harm.harmful:
            bound = 1.0 / rules.canary.error_rate
            found = f"e-value {self._harm.peak:.3g} of {bound:.3g}"
            why = f"{self.seated['name']} earned {-self.total:.6g} more {over}, {found}"
            if self.stage == "shadow":
                return self._step("refused", f"refused: {why}", now_ns)
            return self._step("rolled_back", f"rolled back: {why}", now_ns)
        if self.stage == "shadow":
            if self._gain.harmful and not wait:
                found = f"e-value {self._gain.peak:.3g} of {1 / self.error_rate:.3g}{self._among()}"
                why = f"{name} earned {self.total:+.6g} more {over}, {found}"
                if not rules.canary.cycles:
                    return self._step("full", f"seated: {why}", now_ns)
                share = f"{rules.canary.fraction:g} of base_quantity"
                return self._step("canary", f"seated with {share}: {why}", now_ns)
            if self._cycles >= rules.most_cycles and not self._gain.harmful:
                return self._step("withdrawn", f"withdrawn: not enough evidence {over}, {self.total:+.6g}", now_ns)
        elif self.stage == "canary" and self._stage_cycles >= rules.canary.cycles:
            why = f"{name} earned {self._harm.total:+.6g} against {self.seated['name']} as a canary"
            return self._step("full", f"used fully: {why}", now_ns)
        elif self.stage == "full" and self._stage_cycles >= rules.most_cycles:
            return self._step("settled", f"no longer watched: {self.total:+.6g} {over}", now_ns)
        return None

    def check(self, now_ns: int) -> Step | None:
        """The step that the mere passing of time causes: a canary nobody watches goes."""
        if self.stage != "canary":
            return None
        blind = (now_ns - max(self._seen_ns, self._since_ns)) // self._cycle_ns
        if blind < self.rules.canary.blind_cycles:
            return None
        return self._step("rolled_back", f"rolled back: no shadow evidence for {blind} cycles", now_ns)

    def apply(self, step: Step) -> None:
        """Take a step that was made here or is read from the journal."""
        self.counts[step.stage] = self.counts.get(step.stage, 0) + 1
        if step.stage == "shadow":
            self.challenge_id, self.challenger, self.seated = step.challenge_id, step.challenger, step.seated
            self._from_ns = self._seen_ns = step.from_ns
            self._cycles, self._differences = 0, []
            self._begin_tests()
        elif step.stage in SITS:
            self._harm = HarmTest(self.rules.canary.error_rate)  # what was seen in the shadow chose it: look afresh
        elif step.stage == "settled":
            self.seated = step.challenger
        self.stage, self._since_ns, self._stage_cycles = step.stage, step.at_ns, 0

    def _step(self, stage: Stage, cause: str, now_ns: int) -> Step:
        step = Step(
            self.challenge_id, stage, cause, now_ns, self.challenger, self.seated, self._from_ns, self.evidence()
        )
        self.apply(step)
        return step

    # -- what follows from it ------------------------------------------------------------------------------------------

    @property
    def tried(self) -> int:
        """Challengers of the session so far, the newest included."""
        return self.counts.get("shadow", 0)

    @property
    def error_rate(self) -> float:
        """Probability that the newest challenger is ever seated though it is no better."""
        return self.rules.error_rate / max(1, self.tried)

    def _among(self) -> str:
        return f" (challenger {self.tried} of the session)" if self.tried > 1 else ""

    @property
    def sits(self) -> Reference:
        """Who trades now."""
        return self.challenger if self.stage in SITS else self.seated

    @property
    def held(self) -> str:
        """Why no other challenge can begin; empty: one can."""
        if self.stage == "full":  # the next challenger meets the one that sits now
            return ""
        return f"{self.challenger['name']} has not been decided on ({self.stage})" if self.stage in OPEN else ""

    @property
    def canary(self) -> bool:
        """Whether a challenger sits that is on trial."""
        return self.stage == "canary"

    @property
    def total(self) -> float:
        """What the challenger earned more in the shadow since the challenge began, quote."""
        return float(sum(self._differences))

    def request(self) -> dict[str, Any] | None:
        """What the next request asks to be compared; ``None``: there is no open challenge."""
        if self.stage not in OPEN:
            return None
        return {
            "challenge_id": self.challenge_id,
            "challenger": dict(self.challenger),
            "seated": dict(self.seated),
            "from_ns": self._from_ns,
            "seen_ns": self._seen_ns,
            "block": self.rules.canary.block,
        }

    def evidence(self) -> dict[str, Any]:
        """State of the comparison, plain values."""
        low, high = confidence_sequence(self._differences, self.error_rate)
        known = len(self._differences) > 1
        return {
            "cycles": self._cycles,
            "blocks": len(self._differences),
            "difference": self.total,
            "lower": low if known else None,
            "upper": high if known else None,
            "evalue_better": self._gain.peak,
            "seated_at": 1.0 / self.error_rate,
            "tried": self.tried,
            "evalue_worse": self._harm.peak,
            "dropped_at": 1.0 / self.rules.canary.error_rate,
            "seen_until": iso(self._seen_ns),
        }

    def state(self) -> dict[str, Any]:
        """For ``status --json`` and displays."""
        if not self.challenge_id:
            return {"stage": NONE}
        return {
            "stage": self.stage,
            "challenge_id": self.challenge_id,
            "challenger": dict(self.challenger),
            "against": dict(self.seated),
            **self.evidence(),
            "counts": dict(self.counts),
            "words": self.text(),
        }

    def text(self) -> str:
        """One line for people; empty: there was no challenge."""
        if not self.challenge_id:
            return ""
        words = {
            "shadow": "in the shadow",
            "canary": "seated with a small size",
            "full": "seated, watched",
            "settled": "seated",
            "refused": "refused",
            "withdrawn": "withdrawn",
            "rolled_back": "rolled back",
        }[self.stage]
        return (
            f"{self.challenger['name']} against {self.seated['name']}: {words}, {self._cycles} cycles, "
            f"{self.total:+.4g}, e-value better {self._gain.peak:.2g} of {1 / self.error_rate:.3g}{self._among()}, "
            f"worse {self._harm.peak:.2g} of {1 / self.rules.canary.error_rate:.3g}"
        )
