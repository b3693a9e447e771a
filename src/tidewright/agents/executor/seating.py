"""Whether a learned policy may sit in the executor's chair: what its file says of its examinations.

``tidewright evaluate --examine`` adds a :class:`Report` to the list ``examinations`` in the file's header. Reports
stay: a new one takes the place of an earlier one only where it asks at least the same on the same tapes, so that a
failure is not undone by another examination. Each carries the :func:`fingerprint` of what was examined, so that results
do not stay with weights that have changed.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np

from tidewright.agents.executor.policy import Policy
from tidewright.market.errors import DataError

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

# Of a report, over its tapes: from here on the bootstrap's intervals hold about what they promise (docs/learning.md).
LEAST_CYCLES: Final = 1_000

HEADER: Final = "examinations"


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


@dataclass(frozen=True, slots=True)
class Report:
    """All examinations of one policy on the same tapes.

    Attributes
    ----------
    policy
        :func:`fingerprint` of what was examined.
    tapes
        Each as :func:`tidewright.agents.executor.learned_on.record` says it; older files keep source, rows and sha256.
    fees_bp
        Maker fees, basis points.
    cycles
        Over all tapes, after the warm-up, at each fee.
    train_leak
        Whether another policy was also made to learn with the next move in its state.
    results
        One an examination.
    date, version, command
        When, by which version and how.
    """

    policy: str
    tapes: Sequence[Mapping[str, Any]]
    fees_bp: Sequence[float]
    cycles: int
    train_leak: bool
    results: Sequence[Examination]
    date: str = ""
    version: str = ""
    command: str = ""

    @classmethod
    def of_json(cls, data: Any) -> "Report":
        """What :meth:`to_json` gave.

        Raises
        ------
        DataError
            If it is something else.
        """
        try:
            results = tuple(Examination(**one) for one in data["results"])
            hashes = [str(one["sha256"]) for one in data["tapes"]]
            found = cls(**{**data, "results": results})
        except (KeyError, TypeError) as error:
            raise DataError(f"this is not a report of examinations: {error}") from None
        if not hashes or not isinstance(found.cycles, int) or any(one.verdict not in VERDICTS for one in results):
            raise DataError("this is not a report of examinations: a tape, the cycles or a verdict is missing")
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @property
    def where(self) -> str:
        """For people: when and on what."""
        sources = ", ".join(str(one.get("source", one["sha256"][:12])) for one in self.tapes)
        return f"{self.date}, {sources}" if self.date else sources

    def named(self, verdict: str) -> list[str]:
        """Examinations that went so."""
        return [one.name for one in self.results if one.verdict == verdict]

    def replaces(self, other: "Report") -> bool:
        """Whether the other one has nothing to say beside this one: the same was asked on the same tapes."""
        same = self.policy == other.policy and self._hashes() == other._hashes()
        return same and (self.train_leak or not other.train_leak)

    def _hashes(self) -> list[str]:
        return sorted(str(one["sha256"]) for one in self.tapes)


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


def reports(policy: Policy) -> list[Report]:
    """Reports of these very weights in a policy's file, oldest first.

    Raises
    ------
    DataError
        If the file has some of another form.
    """
    mine = fingerprint(policy)
    return [one for one in map(Report.of_json, policy.header.get(HEADER, ())) if one.policy == mine]


def added(report: Report, *earlier: Policy) -> list[dict[str, Any]]:
    """The list for a policy's header: what the files that were there say of these weights, and a new report."""
    kept: list[Report] = []
    for policy in earlier:
        try:
            found = reports(policy)
        except DataError:  # of another form: it says nothing that counts
            found = []
        kept += [one for one in found if one.policy == report.policy and one not in kept]
    return [one.to_json() for one in (*(one for one in kept if not report.replaces(one)), report)]


def may_be_seated(policy: Policy) -> list[str]:
    """Reasons against giving a policy the executor's chair; none: it may sit there.

    It needs all of :data:`EXAMINATIONS`, made with these very weights, none of them failed in any report, and those of
    :data:`NEEDED` passed in at least one of :data:`LEAST_CYCLES`. Seating it all the same takes an explicit override by
    a person.
    """
    if not policy.header.get(HEADER):
        return ["it was never examined: `tidewright evaluate --examine --tape TAPE --policy FILE` does it"]
    try:
        kept = reports(policy)
    except DataError:
        return ["its file tells of its examinations in a form that is not read: examine it again"]
    if not kept:
        return ["its weights or settings are not those that were examined: examine it again"]
    count = len(kept)
    failed = [
        f"it failed {_listed(one.named(FAILED))} in report {number} of {count} ({one.where})"
        for number, one in enumerate(kept, 1)
        if one.named(FAILED)
    ]
    verdicts = _verdicts(kept)
    missing = [f"the examination {name!r} was not made" for name in EXAMINATIONS if name not in verdicts]
    enough = [one for one in kept if one.cycles >= LEAST_CYCLES]
    if not enough:
        most = max(one.cycles for one in kept)
        missing.append(
            f"it was examined on {most:,} cycles at a fee, at least {LEAST_CYCLES:,} over all tapes of a report are "
            "needed: give longer tapes, or more of them at once"
        )
    told = _verdicts(enough or kept)
    open_ones = [
        f"the examination {name!r} came to no result"
        for name in NEEDED
        if name in verdicts and FAILED not in verdicts[name] and PASSED not in told.get(name, ())
    ]
    return missing + failed + open_ones


def doubts(policy: Policy) -> list[str]:
    """Examinations that came to no result: no reason against a seat, but to be shown beside it."""
    try:
        found = _verdicts(reports(policy))
    except DataError:
        return []
    return [
        f"the examination {name!r} came to no result"
        for name, verdicts in found.items()
        if verdicts == {UNDECIDED} and name not in NEEDED
    ]


def _verdicts(kept: Sequence[Report]) -> dict[str, set[str]]:
    """What came of each examination, over reports."""
    found: dict[str, set[str]] = {}
    for report in kept:
        for one in report.results:
            found.setdefault(one.name, set()).add(one.verdict)
    return found


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names)
