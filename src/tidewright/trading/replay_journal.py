"""A journal read again: the same proposals must be accepted, the same decisions come out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tidewright.agents.executor.proposals import Gate, Standing, judge
from tidewright.coordination.council import Council, outcome_record
from tidewright.coordination.journal import Entry, read
from tidewright.coordination.messages import (
    CommandMessage,
    DecisionMessage,
    InsightMessage,
    Message,
    ParameterUpdateMessage,
    StatusMessage,
    VoteMessage,
    identity,
)
from tidewright.coordination.patterns.opinion import Opinion, Result
from tidewright.market.errors import DataError, UsageError
from tidewright.risk.limits import Limits
from tidewright.trading.advice import OPTIMIZER
from tidewright.trading.coordinator import OPENED


@dataclass(slots=True)
class Replayed:
    """What came of reading a journal again.

    Attributes
    ----------
    verdicts, rounds
        Judged proposals and council decisions that were made again.
    differences
        Where the result is another one, in words.
    """

    entries: int = 0
    received: int = 0
    refused: int = 0
    verdicts: int = 0
    rounds: int = 0
    switches: int = 0
    differences: list[str] = field(default_factory=list)


def relearn(
    path: Path, members: Sequence[str], neighbours: Mapping[str, Sequence[str]] | None = None, table: str = ""
) -> tuple[Council | None, list[dict[str, Any]]]:
    """A council as a journal leaves it, and what its decisions were made of; ``None`` where others sat in it last, or
    heard others.

    Raises
    ------
    DataError
        As :func:`tidewright.coordination.journal.read`.
    """
    again = _Replay()
    if path.is_file():
        again.run(read(path))
    council = again.councils.get(table)
    if council is not None:
        council.begin_again()
    if council is None or council.members != tuple(members):
        return None, []
    near = {name: tuple(heard) for name, heard in (neighbours or {}).items()}
    return (council, again.told[table]) if council.neighbours == near else (None, [])


def replay(path: Path) -> Replayed:
    """Make every decision of a journal again.

    Raises
    ------
    NotFoundError, DataError
        As :func:`tidewright.coordination.journal.read`.
    """
    return _Replay().run(read(path))


class _Replay:
    def __init__(self) -> None:
        self.result = Replayed()
        self.councils: dict[str, Council] = {}
        self.told: dict[str, list[dict[str, Any]]] = {}
        self._proposals: dict[str, ParameterUpdateMessage] = {}
        self._commands: dict[str, CommandMessage] = {}
        self._seen: set[tuple[str, str]] = set()

    def run(self, entries: Iterable[Entry]) -> Replayed:
        for entry in entries:
            self.result.entries += 1
            try:
                self._take(entry)
            except (KeyError, TypeError, UsageError) as error:
                self._differ(entry, f"it cannot be replayed: {type(error).__name__} {error}")
        return self.result

    def _take(self, entry: Entry) -> None:
        item = entry.message
        if entry.event == "refused":
            self.result.refused += 1
        elif item is not None and entry.event == "received":
            self.result.received += 1
            self._received(entry, item)
        elif isinstance(item, StatusMessage) and item.data.state == OPENED:
            told = item.data.model_extra or {}
            table = told.get("table", "")
            before = self.councils.get(table)
            if before is not None and told.get("rounds", 0) > 0 and list(before.members) == told["members"]:
                before.switch(told["pattern"])
                before.set_threshold(told["threshold"])
                before.begin_again()
            else:
                near = told.get("neighbours")
                self.councils[table] = Council(told["members"], told["pattern"], told["threshold"], near)
                self.told[table] = []
            if not table:
                self._seen.clear()
        elif isinstance(item, DecisionMessage):
            self._decided(entry, item)

    def _received(self, entry: Entry, item: Message) -> None:
        key = (item.source_agent, identity(item))
        if key in self._seen:
            self._differ(entry, f"{key[1]} was admitted twice")
        self._seen.add(key)
        if isinstance(item, ParameterUpdateMessage) and item.source_agent == OPTIMIZER:
            for name in (item.data.proposal_id, item.data.in_reply_to, "proposal"):
                if name:
                    self._proposals[name] = item
                    break
        elif isinstance(item, VoteMessage | InsightMessage | ParameterUpdateMessage):  # the optimizer's is in `said`
            for council in self.councils.values():  # each hears its own members, in its own round
                council.hear(item)
        elif isinstance(item, CommandMessage):
            self._commands[item.data.command_id] = item

    def _decided(self, entry: Entry, item: DecisionMessage) -> None:
        extra = item.data.model_extra or {}
        if "council" in extra:
            table = extra.get("table", "")
            if self._round(entry, extra["council"], table):
                self.told[table].append({name: extra.get(name, {}) for name in ("gains", "confidences")})
        elif "judged" in extra:
            self._verdict(entry, item, extra["judged"])
        elif item.data.in_reply_to in self._commands and item.data.accepted and self.councils:
            pattern = self._commands[item.data.in_reply_to].data.pattern
            if pattern is not None:
                for council in self.councils.values():
                    council.switch(pattern)
                self.result.switches += 1

    def _verdict(self, entry: Entry, item: DecisionMessage, judged: dict[str, Any]) -> None:
        proposal = self._proposals.get(item.data.in_reply_to)
        if proposal is None:
            self._differ(entry, f"there is no proposal {item.data.in_reply_to}")
            return
        told = dict(judged["standing"])
        told["limits"], told["gate"] = Limits(**told["limits"]), Gate(**told["gate"])
        again = judge(proposal.data, Standing(**told))
        self.result.verdicts += 1
        before = (judged["accepted"], judged["reasons"], judged["params"])
        if (again.accepted, list(again.reasons), dict(again.params)) != before:
            self._differ(entry, f"the verdict on {item.data.in_reply_to} is another: {'; '.join(again.reasons)}")

    def _round(self, entry: Entry, told: dict[str, Any], table: str) -> bool:
        council = self.councils.get(table)
        if council is None:
            raise DataError("a council decided before it was opened")
        if told["round"] < council.rounds:
            return False  # sent to several: the same round again
        for opinion in told["said"]:
            council.say(Opinion(**opinion))
        results = {agent: Result(**result) for agent, result in told["results"].items()}
        outcome = outcome_record(council.decide(told["incumbent"], results))
        self.result.rounds += 1
        if outcome != told["outcome"] or council.pattern != told["pattern"]:
            self._differ(entry, f"round {told['round']} comes out as {outcome}")
        return True

    def _differ(self, entry: Entry, words: str) -> None:
        self.result.differences.append(f"line {entry.seq}: {words}")
