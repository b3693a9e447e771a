"""What the executor would say of a proposal: its gate with the default thresholds."""

from typing import Final

from tidewright.agents.executor.proposals import Gate, Verdict, gate_reasons
from tidewright.coordination.payloads import Checks

THRESHOLD: Final = 0.6  # least confidence of a proposal that a session acts on unless told otherwise


def verdict(checks: Checks, confidence: float, gate: Gate | None = None, threshold: float = THRESHOLD) -> Verdict:
    """Whether a proposal would be taken, by its confidence and its own figures.

    What only a session knows, its limits and what trades there, is left out.

    Parameters
    ----------
    gate
        Thresholds; ``None``: the default ones.
    """
    reasons = gate_reasons(checks, gate or Gate())
    if confidence < threshold:
        reasons = [f"confidence {confidence:.3f} is under the threshold {threshold:.3f}", *reasons]
    return Verdict(not reasons, tuple(reasons))


__all__ = ["THRESHOLD", "Gate", "Verdict", "verdict"]
