"""From accepted to fully used, and back: new parameters trade small first, and go when the old ones would earn more.

Two shadow lanes, the new and the old parameters at full size, see the same live events; the optimizer judges them
each epoch and the executor keeps the account. The rule is sequential (:mod:`tidewright.measure.sequential`): however
often it is looked at, new parameters that are no worse are rolled back with a probability of at most the stated error
rate.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from tidewright.market.clock import iso
from tidewright.market.errors import UsageError
from tidewright.market.instrument import Instrument
from tidewright.measure.sequential import HarmTest, confidence_sequence

Stage = Literal["refused", "canary", "full", "rolled_back", "replaced"]

STEADY: Final = "steady"
MARGIN: Final = 1.1  # a canary's quote is worth at least this times what the venue accepts: prices move


@dataclass(frozen=True, slots=True)
class CanaryRules:
    """How accepted parameters are tried.

    Attributes
    ----------
    fraction
        Share of ``base_quantity`` that a canary quotes, in (0, 1].
    cycles
        Cycles of shadow evidence after which it is used fully unless rolled back; 0: at once, watched all the same.
    error_rate
        Probability that parameters which are no worse are ever rolled back by the comparison, in (0, 1).
    block
        Cycles whose differences are added up to one observation of the test.
    blind_cycles
        Without any shadow evidence for so long, a canary is rolled back: nobody watches it.
    """

    fraction: float = 0.25
    cycles: int = 60
    error_rate: float = 0.05
    block: int = 10
    blind_cycles: int = 180

    def __post_init__(self) -> None:
        if not 0.0 < self.fraction <= 1.0:
            raise UsageError(f"a canary's share of base_quantity must be in (0, 1], was {self.fraction}")
        if not 0.0 < self.error_rate < 1.0:
            raise UsageError(f"the canary's error rate must be in (0, 1), was {self.error_rate}")
        for name, value, least in (("cycles", self.cycles, 0), ("block", self.block, 1)):
            if value < least:
                raise UsageError(f"the canary's {name} must be >= {least}, was {value}")
        if self.blind_cycles <= self.cycles:
            raise UsageError(
                f"a canary may be without evidence for more cycles than it lasts ({self.cycles}), was "
                f"{self.blind_cycles}"
            )


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the two shadow lanes did over a stretch of live market.

    Attributes
    ----------
    proposal_id
        The accepted proposal, or the challenge, that the new lane belongs to.
    from_ns, until_ns
        The stretch, market time.
    cycles
        Decisions in it.
    differences
        New less old lane's equity change of each block of cycles, quote, oldest first.
    """

    proposal_id: str
    from_ns: int
    until_ns: int
    cycles: int
    differences: Sequence[float]

    @classmethod
    def told(cls, found: object, name: str) -> "Comparison | None":
        """What a part of an answer of the optimizer tells, if it tells a comparison; ``name``: its key of the name."""
        if not isinstance(found, Mapping) or "differences" not in found:
            return None
        from_ns, until_ns, cycles = (int(found[key]) for key in ("from_ns", "until_ns", "cycles"))
        return cls(str(found[name]), from_ns, until_ns, cycles, tuple(found["differences"]))

    def follows(self, seen_ns: int) -> bool:
        """Whether nothing of it is older than what was seen, so that no cycle counts twice, and something is newer.

        Two requests may ask for the same stretch: the second is sent before a late answer to the first has come.
        """
        return self.from_ns >= seen_ns and self.until_ns > seen_ns


@dataclass(frozen=True, slots=True)
class Transition:
    """A step of a proposal from one stage to the next, with its cause.

    Attributes
    ----------
    params, previous
        The new and the old parameters, both at full size.
    from_ns, scale
        Where shadow evidence begins, and the deviation of a block's difference known before: all that a restart needs.
    evidence
        The state of the comparison.
    """

    proposal_id: str
    stage: Stage
    cause: str
    at_ns: int
    params: Mapping[str, float]
    previous: Mapping[str, float]
    from_ns: int
    scale: float
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def data(self) -> dict[str, Any]:
        """As data of a ``decision`` message."""
        return {
            "in_reply_to": self.proposal_id,
            "accepted": self.stage in ("canary", "full"),
            "reasons": [self.cause],
            "stage": self.stage,
            "params": dict(self.params),
            "previous": dict(self.previous),
            "from_ns": self.from_ns,
            "scale": self.scale,
            "shadow": dict(self.evidence),
        }


class Rollout:
    """The stage of the parameters in use; pure: the same calls give the same state.

    Parameters
    ----------
    params
        What trades at the beginning.

    Attributes
    ----------
    stage
        ``"steady"`` (nothing new), ``"canary"`` or ``"full"`` (new, and watched).
    params, previous
        What is aimed at, and what a roll-back returns to; at full size.
    """

    def __init__(self, rules: CanaryRules, cycle_ns: int, params: Mapping[str, float]) -> None:
        self.rules, self._cycle_ns = rules, cycle_ns
        self.params: dict[str, float] = dict(params)
        self.previous: dict[str, float] = dict(params)
        self.stage: str = STEADY
        self.proposal_id = ""
        self.counts: dict[str, int] = {"canary": 0, "full": 0, "rolled_back": 0}
        self._from_ns = self._seen_ns = self._since_ns = 0
        self._scale = 0.0
        self._cycles = 0
        self._test = HarmTest(rules.error_rate)
        self._differences: list[float] = []

    # -- steps -------------------------------------------------------------------------------------------------------

    def accept(
        self, now_ns: int, proposal_id: str, params: Mapping[str, float], from_ns: int, scale: float
    ) -> Transition:
        """Begin with accepted parameters, as a canary, or fully where the rules say so.

        Parameters
        ----------
        from_ns
            Market time up to which the proposal was made: evidence later than this is fresh.
        scale
            Deviation of a block's difference as the proposal states it; 0: not known.
        """
        stage: Stage = "canary" if self.rules.cycles else "full"
        share = f"{self.rules.fraction:g} of base_quantity for {self.rules.cycles} cycles of shadow evidence"
        cause = f"accepted: {share}" if stage == "canary" else "accepted: used fully at once, and watched"
        step = Transition(proposal_id, stage, cause, now_ns, dict(params), dict(self.params), from_ns, scale)
        self.apply(step)
        return step

    def note(self, seen: Comparison) -> bool:
        """Take in a comparison; one of another proposal, or with a stretch that was seen, is ignored, and False."""
        if self.stage == STEADY or seen.proposal_id != self.proposal_id or not seen.follows(self._seen_ns):
            return False
        self._seen_ns = seen.until_ns
        self._cycles += seen.cycles
        self._test.observe(seen.differences)
        self._differences += [float(value) for value in seen.differences]
        return True

    def observe(self, seen: Comparison, now_ns: int) -> Transition | None:
        """Take in a comparison: the step it causes, if any."""
        if not self.note(seen):
            return None
        if self._test.harmful:
            bound = 1.0 / self.rules.error_rate
            cause = (
                f"rolled back: the old parameters earned {-self._test.total:.6g} more over {self._cycles} cycles "
                f"of the same events, e-value {self._test.peak:.3g} has reached {bound:.3g} "
                f"(error rate {self.rules.error_rate:g})"
            )
            return self._step("rolled_back", cause, now_ns)
        if self.stage == "canary" and self._cycles >= self.rules.cycles:
            cause = (
                f"used fully: {self._cycles} cycles of shadow evidence, the new parameters earned "
                f"{self._test.total:+.6g} against the old, e-value for harm {self._test.evalue:.3g}"
            )
            return self._step("full", cause, now_ns)
        return None

    def check(self, now_ns: int) -> Transition | None:
        """The step that the mere passing of time causes: a canary nobody watches goes."""
        if self.stage != "canary":
            return None
        blind_ns = now_ns - max(self._seen_ns, self._since_ns)
        if blind_ns < self.rules.blind_cycles * self._cycle_ns:
            return None
        cause = f"rolled back: no shadow evidence for {blind_ns // self._cycle_ns} cycles, nobody watches the canary"
        return self._step("rolled_back", cause, now_ns)

    def apply(self, step: Transition) -> None:
        """Take a step that was made here or is read from the journal."""
        self.counts[step.stage] = self.counts.get(step.stage, 0) + 1
        if step.stage in ("rolled_back", "replaced"):
            self.settle(step.previous if step.stage == "rolled_back" else step.params)
            return
        if step.proposal_id != self.proposal_id:
            self.params, self.previous = dict(step.params), dict(step.previous)
            self.proposal_id, self._from_ns, self._scale = step.proposal_id, step.from_ns, step.scale
            self._seen_ns, self._since_ns, self._cycles = step.from_ns, step.at_ns, 0
            self._test, self._differences = HarmTest(self.rules.error_rate, step.scale), []
        self.stage = step.stage

    def settle(self, params: Mapping[str, float]) -> None:
        """These are in use, and nothing is watched."""
        self.params, self.previous, self.stage, self.proposal_id = dict(params), dict(params), STEADY, ""

    def replace(self, changed: Mapping[str, float], now_ns: int) -> Transition | None:
        """Somebody else set parameters, such as a person: they stand, and what was watched is watched no more."""
        params = {**self.params, **changed}
        if self.stage == STEADY:
            self.settle(params)
            return None
        names = ", ".join(f"{name} {value:g}" for name, value in changed.items())
        step = self._made("replaced", f"replaced: {names} set from outside", now_ns)
        step = replace(step, params=params)
        self.apply(step)
        return step

    def _step(self, stage: Stage, cause: str, now_ns: int) -> Transition:
        step = self._made(stage, cause, now_ns)
        self.apply(step)
        return step

    def _made(self, stage: Stage, cause: str, now_ns: int) -> Transition:
        return Transition(
            self.proposal_id,
            stage,
            cause,
            now_ns,
            dict(self.params),
            dict(self.previous),
            self._from_ns,
            self._scale,
            self.evidence(),
        )

    # -- what follows from it ----------------------------------------------------------------------------------------

    @property
    def held(self) -> str:
        """Why no other proposal can be taken now; empty: one can."""
        if self.stage != "canary":
            return ""
        return f"{self.proposal_id} runs as a canary ({self._cycles} of {self.rules.cycles} cycles of evidence)"

    def trading(self, instrument: Instrument, mid: float, share: float = 1.0) -> dict[str, float]:
        """Parameters to trade with now: a canary quotes a share of the quantity, never less than the venue accepts.

        Parameters
        ----------
        mid
            Quote per base.
        share
            Of the capital, over 0 to 1: what is quoted is scaled by it afterwards.
        """
        full = self.params.get("base_quantity")
        if self.stage != "canary" or full is None:  # a user's own strategy may have no such parameter: it has one size
            return dict(self.params)
        lot = float(instrument.lot)
        worth = instrument.filters.min_notional / 1e8 * MARGIN
        least = max(instrument.filters.min_qty_lots, -int(-worth // (lot * mid)) if mid > 0 else 1)
        least = math.ceil(least / share - 1e-9)
        lots = max(least, int(full * self.rules.fraction / lot + 1e-9))
        return {**self.params, "base_quantity": min(full, float(lots * instrument.lot))}

    def request(self) -> dict[str, Any] | None:
        """What the next request asks to be compared; ``None``: nothing is watched."""
        if self.stage == STEADY:
            return None
        return {
            "proposal_id": self.proposal_id,
            "candidate": dict(self.params),
            "incumbent": dict(self.previous),
            "from_ns": self._seen_ns,
            "block": self.rules.block,
        }

    def evidence(self) -> dict[str, Any]:
        """State of the comparison, plain values: for messages, display and report."""
        if self.stage == STEADY:
            return {}
        low, high = confidence_sequence(self._differences, self.rules.error_rate)
        known = len(self._differences) > 1
        return {
            "cycles": self._cycles,
            "blocks": self._test.count,
            "difference": self._test.total,
            "mean": self._test.mean,
            "lower": low if known else None,
            "upper": high if known else None,
            "evalue": self._test.evalue,
            "peak": self._test.peak,
            "rolls_back_at": 1.0 / self.rules.error_rate,
            "seen_until": iso(self._seen_ns),
        }

    def state(self) -> dict[str, Any]:
        """For ``status --json`` and displays."""
        return {
            "stage": self.stage,
            "proposal_id": self.proposal_id,
            "needed_cycles": self.rules.cycles,
            "fraction": self.rules.fraction,
            **self.evidence(),
            "counts": dict(self.counts),
        }

    def text(self) -> str:
        """One line for people."""
        if self.stage == STEADY:
            back = self.counts["rolled_back"]
            return f"steady ({back} rolled back so far)" if back else STEADY
        words = "canary at small size" if self.stage == "canary" else "in full use, watched"
        return (
            f"{self.proposal_id}: {words}, {self._cycles} of {self.rules.cycles} cycles, "
            f"{self._test.total:+.4g} against the old, e-value for harm {self._test.evalue:.2g} of "
            f"{1.0 / self.rules.error_rate:.3g}"
        )


def transition_of(data: Mapping[str, Any], at_ns: int) -> Transition | None:
    """The step a ``decision`` message of the journal tells of; ``None``: it tells of none that changes parameters."""
    if data.get("stage") not in ("canary", "full", "rolled_back", "replaced"):
        return None
    return Transition(
        str(data["in_reply_to"]),
        data["stage"],
        "; ".join(data.get("reasons", ())),
        at_ns,
        {name: float(value) for name, value in data["params"].items()},
        {name: float(value) for name, value in data["previous"].items()},
        int(data.get("from_ns", at_ns)),
        float(data.get("scale", 0.0)),
        data.get("shadow") or {},
    )


def comparison_of(data: Mapping[str, Any]) -> Comparison | None:
    """The comparison of its proposal that an answer of the optimizer carries, if any."""
    return Comparison.told(data.get("shadow"), "proposal_id")
