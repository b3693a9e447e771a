"""Whether a learned policy may sit in the executor's chair: what its file says of its examinations.

``tidewright evaluate --examine`` writes them into the file's header:

* ``examinations``: a list of ``{"name", "verdict", "figures", "rule"}``, see :class:`Examination`;
* ``examined``: ``{"policy", "date", "version", "command", "tapes": [{"source", "rows", "sha256"}]}``, where ``policy``
  is the :func:`fingerprint` of what was examined, so that results do not stay with weights that have changed.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np

from tidewright.agents.executor.policy import Policy

PASSED: Final = "passed"
FAILED: Final = "failed"
UNDECIDED: Final = "not enough evidence"
VERDICTS: Final = (PASSED, FAILED, UNDECIDED)

LEAK: Final = "leak"
FAIR_GAME: Final = "fair_game"
SEEDS: Final = "seeds"
FEES: Final = "fees"
ABLATIONS: Final = "ablations"
BEHAVIOUR: Final = "behaviour"
EXAMINATIONS: Final = (LEAK, FAIR_GAME, SEEDS, FEES, ABLATIONS, BEHAVIOUR)

# Without these two a profit may be one of the simulation's own mistakes, so they have to be passed.
NEEDED: Final = (LEAK, FAIR_GAME)


@dataclass(frozen=True, slots=True)
class Examination:
    """One examination and how it went.

    Attributes
    ----------
    name
        One of :data:`EXAMINATIONS`.
    verdict
        One of :data:`VERDICTS`.
    rule
        When it is passed and when it is failed, in words.
    figures
        What the verdict rests on, plain values.
    """

    name: str
    verdict: str
    rule: str
    figures: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def fingerprint(policy: Policy) -> str:
    """SHA-256 of what a policy does: networks, form and the settings it trades with; not of how it was made."""
    form = {
        "spaces": [policy.spaces.observation, policy.spaces.continuous, list(policy.spaces.discrete)],
        "frames": policy.frames,
        "activation": policy.activation,
        "environment": policy.header.get("environment"),
    }
    digest = hashlib.sha256(json.dumps(form, sort_keys=True).encode())
    for network in policy.members:
        for array in (*network.weights, *network.biases):
            digest.update(np.ascontiguousarray(array, "<f4").tobytes())
    return digest.hexdigest()


def may_be_seated(policy: Policy) -> list[str]:
    """Reasons against giving a policy the executor's chair; none: it may sit there.

    It needs all of :data:`EXAMINATIONS`, made with these very weights, none of them failed and those of
    :data:`NEEDED` passed. Seating it all the same takes an explicit override by a person.
    """
    verdicts = _verdicts(policy)
    if not verdicts:
        return ["it was never examined: `tidewright evaluate --examine --tape TAPE --policy FILE` does it"]
    if policy.header.get("examined", {}).get("policy") != fingerprint(policy):
        return ["its weights or settings are not those that were examined: examine it again"]
    missing = [f"the examination {name!r} was not made" for name in EXAMINATIONS if name not in verdicts]
    failed = [f"it failed the examination {name!r}" for name, verdict in verdicts.items() if verdict == FAILED]
    open_ones = [
        f"the examination {name!r} came to no result"
        for name in NEEDED
        if verdicts.get(name, PASSED) not in (PASSED, FAILED)
    ]
    return missing + failed + open_ones


def doubts(policy: Policy) -> list[str]:
    """Examinations that came to no result: no reason against a seat, but to be shown beside it."""
    return [
        f"the examination {name!r} came to no result"
        for name, verdict in _verdicts(policy).items()
        if verdict == UNDECIDED and name not in NEEDED
    ]


def _verdicts(policy: Policy) -> dict[str, str]:
    return {str(one["name"]): str(one["verdict"]) for one in policy.header.get("examinations", ())}
