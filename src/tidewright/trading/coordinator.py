"""The session's end of a council: opinions in, one decision out, all of it journalled before it is acted on."""

import asyncio
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol

from tidewright.agents.executor.proposals import Verdict
from tidewright.coordination.council import Council
from tidewright.coordination.journal import Journal
from tidewright.coordination.messages import InsightMessage, Message, message
from tidewright.coordination.patterns.losses import Losses
from tidewright.coordination.patterns.opinion import Opinion, Outcome, Result
from tidewright.market.errors import UsageError
from tidewright.strategies import registry
from tidewright.trading.shadow import Shadow

EXECUTOR, ALL, JOURNAL = "executor", "agents", "journal"
OPENED: Final = "council"
_MIDS: Final = 10_000  # decisions for which the price is remembered, to hold forecasts against


class AgentLine(Protocol):
    """A bus that reaches agents of other processes."""

    async def start(self) -> None:
        """Connect."""
        ...

    async def close(self) -> None:
        """Leave."""
        ...

    def drain(self) -> list[Message]:
        """Admitted and journalled messages since the last call, in the order they came."""
        ...

    def publish(self, item: Message) -> None:
        """Send, journalled first; does not wait."""
        ...


class Coordinator:
    """Holds the council of a session.

    Parameters
    ----------
    line
        To agents of other processes; ``None``: there are none.
    threshold
        Least confidence of a proposal: the council's from now on, whatever it was in the journal that it was made of.
    round_cycles
        Decisions of the executor from one vote of the agents of other processes to the next.
    outside
        Members that live in other processes.
    votes_s
        Wall seconds that a round waits for them in lockstep.
    table
        Name of the council in the journal, where a session holds more than one.

    Attributes
    ----------
    shadow
        Accounts of the members, which show what each one's numbers would have earned; ``None``: nothing is learned.
    shares
        Of the capital, as decided last.
    lean
        Direction of the last round, -2 to 2: what :func:`tidewright.trading.leaning.leaned` makes of quotes.
    """

    def __init__(
        self,
        council: Council,
        journal: Journal,
        threshold: float,
        line: AgentLine | None = None,
        round_cycles: int = 10,
        outside: Sequence[str] = (),
        votes_s: float = 10.0,
        table: str = "",
    ) -> None:
        self._table = {"table": table} if table else {}
        self.council, self._journal, self._threshold, self._line = council, journal, threshold, line
        council.set_threshold(threshold)
        self._round_cycles, self._calls = round_cycles, 0
        self._votes_s = votes_s
        self._outside, self._silent = tuple(outside), set[str]()
        self.shares: Mapping[str, float] = {}
        self.lean = 0
        self._mids: deque[tuple[int, float]] = deque(maxlen=_MIDS)
        self._forecasts: list[InsightMessage] = []
        self.shadow: Shadow | None = None
        self._losses = Losses()
        self._said: dict[str, float] = {}

    def remember(self, told: Mapping[str, Any]) -> None:
        """Take in what a decision of before a restart was made of: the usual size of differences."""
        self._losses.of(_numbers(told.get("gains", {})))

    def open(self, now_ns: int, pattern: str = "") -> None:
        """Write down who sits at the table, so that the journal can be replayed.

        Parameters
        ----------
        pattern
            What a broken-off session had been switched to; empty: as it was set.
        """
        if pattern:
            self.council.switch(pattern)
        about = {
            "members": list(self.council.members),
            "pattern": self.council.pattern,
            "threshold": self._threshold,
            **self._table,
            **({"neighbours": self.council.neighbours} if self.council.neighbours else {}),
            "rounds": self.council.rounds,  # more than 0: it goes on with what it had learned
        }
        self._sent(now_ns, message("status", now_ns, EXECUTOR, JOURNAL, {"state": OPENED, **about}))

    def switch(self, pattern: str, now_ns: int) -> str:
        """Put another pattern in force; see :class:`tidewright.trading.control.Switch`."""
        return self.council.switch(pattern)

    @property
    def round_name(self) -> str:
        """Of the last decision."""
        return f"round-{self.council.rounds - 1}"

    def ratify(
        self,
        now_ns: int,
        agent: str,
        verdict: Verdict,
        confidence: float,
        strategy: str,
        incumbent: Mapping[str, float],
    ) -> Verdict:
        """What the council makes of a proposal that the executor would accept: now, with the votes heard so far."""
        self._hear()
        self.council.say(Opinion(agent, dict(verdict.params), 0, confidence))
        outcome = self._decide(now_ns, strategy, incumbent)
        why = f"{self.council.pattern}: {outcome.why}"
        if dict(outcome.params) == dict(incumbent):
            return Verdict(False, (f"{why}; what trades stays",))
        return Verdict(True, (*verdict.reasons, why), outcome.params)

    def tell(self, now_ns: int, facts: Mapping[str, Any]) -> None:
        """Every ``round_cycles`` calls: tell agents of other processes the round that begins, and what it is about."""
        self._mids.append((now_ns, float(facts.get("mid", 0.0))))
        if self._line is None:
            return
        if self._calls % self._round_cycles == 0:
            number = self.council.rounds
            data = {"state": "round", "round": number, "question": f"round-{number}", "cycle": self._calls, **facts}
            said = message("status", now_ns, EXECUTOR, ALL, data)
            self._line.publish(said)
        self._calls += 1

    @property
    def round_ends(self) -> bool:
        """Whether the next call of :meth:`turn` decides."""
        return self._line is not None and self._calls > 0 and self._calls % self._round_cycles == 0

    async def gather(self) -> None:
        """In lockstep, before a round ends: wait for agents that have not spoken; one that did not last time is not
        waited for until it speaks again, so that a dead one costs one wait.
        """
        deadline = time.monotonic() + self._votes_s
        others = [member for member in self.council.members if member in self._outside]
        while True:
            self._hear()
            spoken = self.council.spoken
            self._silent -= spoken
            missing = [agent for agent in others if agent not in spoken and agent not in self._silent]
            if not missing:
                return
            if time.monotonic() > deadline:
                self._silent |= set(missing)
                return
            await asyncio.sleep(0.01)

    async def start(self) -> None:
        """Connect the agents of other processes."""
        if self._line is not None:
            await self._line.start()

    async def close(self) -> None:
        """Let them go."""
        if self._line is not None:
            await self._line.close()

    def turn(self, now_ns: int, strategy: str, incumbent: Mapping[str, float]) -> Outcome | None:
        """The decision at the end of a round; ``None`` within one, or if nobody has spoken."""
        if not self.round_ends:
            return None
        self._hear()
        self.lean = 0
        return self._decide(now_ns, strategy, incumbent) if self.council.heard else None

    def _hear(self) -> None:
        if self._line is not None:
            for item in self._line.drain():
                if self.council.hear(item) and isinstance(item, InsightMessage):
                    self._forecasts.append(item)

    def _decide(self, now_ns: int, strategy: str, incumbent: Mapping[str, float]) -> Outcome:
        gains = self.shadow.gains() if self.shadow is not None else {}
        known = self._settled(now_ns, self._learn(gains))
        self.council.say(Opinion(EXECUTOR))
        spoken = self.council.opinions
        outcome = self.council.decide(incumbent, known)
        self._follow(strategy, incumbent, spoken)
        self._tell_decision(now_ns, incumbent, known, outcome, gains=gains)
        self.shares, self.lean = outcome.shares, outcome.lean or self.lean
        return replace(outcome, params=self._fitted(strategy, incumbent, outcome.params))

    def _fitted(self, strategy: str, incumbent: Mapping[str, float], params: Mapping[str, float]) -> dict[str, float]:
        return fitted(strategy, incumbent, params)

    def _tell_decision(
        self, now_ns: int, incumbent: Mapping[str, float], known: Mapping[str, Result], outcome: Outcome, **more: Any
    ) -> None:
        record = self.council.record(incumbent, known, outcome)
        data = {"in_reply_to": self.round_name, "accepted": True, "council": record, **self._table, **more}
        self._sent(now_ns, message("decision", now_ns, EXECUTOR, ALL, data))

    def _learn(self, gains: Mapping[str, float]) -> dict[str, Result]:
        """Results of the members' shadow accounts; a confidence is that one's numbers beat the executor's."""
        if len(gains) < 2:
            return {}
        found, own = {}, gains[EXECUTOR]
        for agent, loss in self._losses.of(gains).items():
            said = self._said.get(agent) if gains[agent] != own else None  # the same numbers: nothing to be right about
            found[agent] = Result(loss, said, gains[agent] > own if said is not None else None)
        return found

    def _settled(self, now_ns: int, known: dict[str, Result]) -> dict[str, Result]:
        """Results with the forecasts whose time is over: whether the price went the way that was said."""
        due = [one for one in self._forecasts if one.timestamp_ns + one.data.horizon_ns <= now_ns]
        self._forecasts = [one for one in self._forecasts if one not in due]
        if not due:
            return known
        found = known or dict.fromkeys(self.council.members, Result(0.5))
        for one in due:
            then, after = (self._mid_at(ts) for ts in (one.timestamp_ns, one.timestamp_ns + one.data.horizon_ns))
            before = found.get(one.source_agent, Result(0.5))
            if then and after and then != after and before.confidence is None:
                came_true = (after > then) == (one.data.value > 0)
                found[one.source_agent] = replace(before, confidence=one.data.confidence_score, came_true=came_true)
        return found

    def _mid_at(self, ts: int) -> float:
        """The mid that was known at a time; 0 before the first."""
        return next((mid for at, mid in reversed(self._mids) if at <= ts), 0.0)

    def _follow(self, strategy: str, incumbent: Mapping[str, float], spoken: Mapping[str, Opinion]) -> None:
        """Let every member's shadow trade what it has said, and the executor's what trades."""
        self._said = {agent: opinion.confidence for agent, opinion in spoken.items() if agent != EXECUTOR}
        if self.shadow is None:
            return
        self.shadow.use(EXECUTOR, incumbent)
        for agent in self._said:
            self.shadow.use(agent, self._fitted(strategy, incumbent, spoken[agent].params))

    def _sent(self, now_ns: int, item: Message) -> None:
        """Written down before it is acted on."""
        self._journal.append("sent", now_ns, item)
        if self._line is not None and item.target_agent == ALL:
            self._line.publish(item)


def fitted(strategy: str, incumbent: Mapping[str, float], params: Mapping[str, float]) -> dict[str, float]:
    """Decided numbers as the strategy takes them: whole where it wants whole ones, none outside its range."""
    found: dict[str, float] = dict(incumbent)
    for parameter in registry.strategy(strategy).parameters:
        if parameter.name in params:
            value = min(max(float(params[parameter.name]), parameter.low), parameter.high)
            found[parameter.name] = float(round(value)) if parameter.integer else value
    try:
        registry.rows(strategy, found, 1)
    except UsageError:  # numbers that are possible one by one and not together
        return dict(incumbent)
    return found


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    return {str(agent): float(value) for agent, value in values.items()}


def summary(coordinator: "Coordinator | None") -> dict[str, Any]:
    """For the screens: pattern, round, shares."""
    if coordinator is None:
        return {}
    council = coordinator.council
    return {"pattern": council.pattern, "rounds": council.rounds, "shares": dict(coordinator.shares)}
