"""The session's line to its optimizer: a request each epoch, an answer that takes effect at a fixed later cycle."""

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from tidewright.agents.executor.canary import Rollout, Transition, comparison_of
from tidewright.agents.executor.proposals import Standing, Verdict, judge
from tidewright.coordination.admission import RefusedError
from tidewright.coordination.messages import Message, ParameterUpdateMessage, StatusMessage, encode, message
from tidewright.coordination.process import Delivery
from tidewright.market.errors import DataError, NotRunningError, TimedOutError
from tidewright.market.instrument import Instrument, units_text
from tidewright.market.tasks import end
from tidewright.risk.limits import Limits
from tidewright.strategies import registry
from tidewright.trading.cycles import Registration
from tidewright.trading.ledger import Ledger
from tidewright.trading.settings import QUEUE, SessionSettings

EXECUTOR, OPTIMIZER = "executor", "optimizer"


class Line(Protocol):
    """Messages to and from one agent; :class:`tidewright.coordination.process.ProcessBus` is one."""

    async def send(self, item: Message) -> None:
        """Validate, admit, journal and send."""
        ...

    async def receive(self, timeout_s: float | None = None) -> Delivery:
        """The next message, or why what came is not one that may be acted on."""
        ...


class Inbox:
    """What comes over a line, one after another, for all who ask over it: a wait that was given up is gone on with."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._receiving: asyncio.Task[Delivery] | None = None

    async def next(self, timeout_s: float) -> Delivery | None:
        """The next delivery; ``None``: it has not come in time.

        Raises
        ------
        NotRunningError
            If the other end has gone.
        """
        if self._receiving is None:
            self._receiving = asyncio.ensure_future(self._line.receive(None))
        done, _ = await asyncio.wait({self._receiving}, timeout=timeout_s)
        if not done:
            return None
        receiving, self._receiving = self._receiving, None
        return receiving.result()

    async def close(self) -> None:
        """Stop waiting."""
        if self._receiving is not None:
            await end(self._receiving)


class Ratify(Protocol):
    """What the agents together make of a proposal that the executor would accept."""

    def __call__(
        self,
        now_ns: int,
        agent: str,
        verdict: Verdict,
        confidence: float,
        strategy: str,
        incumbent: Mapping[str, float],
    ) -> Verdict:
        """The verdict, its parameters changed, or a refusal."""
        ...


class Tuned(Protocol):
    """Whose parameters are advised on: an executor, or one of several agents on its desk."""

    @property
    def strategy(self) -> registry.Strategy:
        """The rule that quotes."""
        ...

    @property
    def params(self) -> dict[str, float]:
        """What it quotes with now."""
        ...

    @property
    def limits(self) -> Limits:
        """Risk limits."""
        ...

    @property
    def share(self) -> float:
        """Of the account's capital, over 0 to 1: its sizes are scaled by it."""
        ...

    def use(self, params: Mapping[str, float]) -> None:
        """Take parameters from the next decision on."""
        ...


class Seated(Protocol):
    """Who steers under the parameters; :class:`tidewright.trading.chair.Chair` is one."""

    @property
    def held(self) -> str:
        """Why no new parameters can be taken now; empty: they can."""
        ...

    def request(self, now_ns: int) -> dict[str, Any]:
        """What a request says of it."""
        ...

    def heard(self, now_ns: int, item: Message, wait: str) -> None:
        """Take in an answer."""
        ...


@dataclass(slots=True)
class Latest:
    """The newest proposal and what became of it, for display."""

    text: str = "none yet"
    accepted: bool | None = None


@dataclass(frozen=True, slots=True)
class Before:
    """What the optimizer's advice had come to before a restart.

    Attributes
    ----------
    accepted, refused
        How many proposals were.
    rollouts
        The stage the parameters were in, by whose they are; absent: nothing was accepted.
    calibrations
        Brier score of the optimizer's confidence and how many proposals were judged, by whom it advised.
    asked
        Market time of the last request, by who asked.
    """

    accepted: int = 0
    refused: int = 0
    rollouts: Mapping[str, Rollout] = field(default_factory=dict)
    calibrations: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    asked: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Request:
    """A request that is not answered yet, the newest.

    Attributes
    ----------
    due_ns
        Market time at which its answer takes effect.
    given_up
        Market time, and monotonic seconds, at which it was no longer waited for; ``None``: it still is.
    """

    name: str
    due_ns: int
    given_up: tuple[int, float] | None = None


class Advice:
    """Asks, waits, judges.

    One request is open at a time, and one that is given up stays open: it may not even have been read. It counts as
    lost an epoch of market time and ``timeout_s`` by the wall later, whichever is longer, and twice as long for each
    one before it that was lost and never answered, so that an optimizer that is only slow is not buried in requests.
    Then the next is sent. Answers come in the order of requests: one to a lost request is known by the name it gives
    and never taken for one to the newest, and one to the newest settles all before it.

    Parameters
    ----------
    line
        To the optimizer.
    tape
        Path of the growing tape.
    note
        Writes one row of the message table: keyword arguments of its columns but the session.
    name
        Whose parameters these are: who asks, and to whom answers are addressed.
    inbox
        Of the line, where others ask over it too.

    Attributes
    ----------
    rollout
        The stage of the parameters in use; a restarted session sets the one its journal tells of. ``None`` before the
        first request.
    """

    def __init__(
        self,
        line: Line,
        settings: SessionSettings,
        instrument: Instrument,
        registration: Registration,
        tape: str,
        note: Callable[..., None],
        name: str = EXECUTOR,
        inbox: Inbox | None = None,
    ) -> None:
        assert settings.advice is not None
        self._line, self._settings, self._advice = line, settings, settings.advice
        self._instrument, self._registration, self._tape, self._note = instrument, registration, tape, note
        self.name = name
        self._inbox = inbox or Inbox(line)
        self._open: Request | None = None
        self._lost: list[str] = []  # names, oldest first; their answers may still come
        self._asked_ns: int | None = None
        self.proposals = self.accepted = self.refused = self.errors = 0
        self._waiting_since: float | None = None
        self.latest = Latest()
        self.calibration: tuple[float, int] | None = None  # Brier score of the confidence, proposals judged
        self.gone = False
        self.rollout: Rollout | None = None
        self.council: Ratify | None = None
        self.chair: Seated | None = None
        self._handed: dict[str, float] | None = None
        self._traded: list[tuple[int, dict[str, float]]] = []

    @property
    def awaiting(self) -> bool:
        """Whether a request is neither answered nor lost, also where it was given up: the next one waits for that."""
        return self._open is not None and not self.gone

    @property
    def waiting_s(self) -> float:
        """Wall seconds for which the session has stood still for an answer; 0 if it does not."""
        return 0.0 if self._waiting_since is None else time.monotonic() - self._waiting_since

    def due(self, now_ns: int, started_ns: int) -> bool:
        """Whether an epoch has begun in which nothing was asked yet; decision times may have been left out."""
        if now_ns < started_ns or self.awaiting:
            return False
        begun = (now_ns - started_ns) // self._advice.epoch_ns
        return self._asked_ns is None or begun > (self._asked_ns - started_ns) // self._advice.epoch_ns

    def resume(self, before: Before) -> None:
        """Go on after a restart."""
        self.accepted, self.refused, self.proposals = before.accepted, before.refused, before.accepted + before.refused
        self.rollout = before.rollouts.get(self.name)
        self.calibration = before.calibrations.get(self.name)
        self._asked_ns = before.asked.get(self.name)

    def aim(self, executor: Tuned) -> dict[str, float]:
        """Parameters that are aimed at: what trades, or a canary's at full size."""
        return dict(self.staged(executor).params)

    def stage(self, executor: Tuned) -> tuple[str, dict[str, Any]]:
        """The stage of the parameters in use, in words and as plain values."""
        rollout = self.staged(executor)
        return rollout.text(), rollout.state()

    def staged(self, executor: Tuned) -> Rollout:
        """The stage of the parameters in use; at the beginning those of the executor, steady."""
        if self.rollout is None:
            assert self._settings.advice is not None
            self.rollout = Rollout(self._settings.advice.canary, self._settings.cycle_ns, executor.params)
            self._handed = dict(executor.params)
        return self.rollout

    async def use(self, now_ns: int, executor: Tuned, mid2: int) -> None:
        """Hand the executor what is to be traded now: the stage may have changed.

        What somebody else has set meanwhile, such as an operator, stands and ends the stage.
        """
        await self._heed(now_ns, executor)
        rollout = self.staged(executor)
        params = rollout.trading(self._instrument, mid2 * 0.5 * float(self._instrument.tick), executor.share)
        if {**executor.params, **params} != executor.params:
            executor.use(params)
        self._handed = dict(executor.params)
        if not self._traded or self._traded[-1][1] != self._handed:
            self._traded.append((now_ns, self._handed))

    async def _heed(self, now_ns: int, executor: Tuned) -> None:
        """Take in what somebody else has set: an operator, or the sizes once there is a price."""
        rollout = self.staged(executor)
        if self._handed is None or executor.params == self._handed:
            return
        set_now = {name: v for name, v in executor.params.items() if self._handed.get(name) != v}
        step = rollout.replace(set_now, now_ns)
        self._handed = dict(executor.params)
        if step is not None:
            await self._announce(now_ns, step)

    async def watch(self, now_ns: int, executor: Tuned) -> None:
        """The step that the passing of time causes: a canary that nobody judges any more is rolled back."""
        step = self.staged(executor).check(now_ns)
        if step is not None:
            await self._announce(now_ns, step)

    async def ask(self, now_ns: int, from_ns: int, rows: int, executor: Tuned, ledger: Ledger, mid2: int) -> None:
        """Send the epoch's request; the tape must have been published."""
        self._asked_ns = now_ns
        if self.gone:
            return
        await self._heed(now_ns, executor)
        advice, latency = self._advice, self._registration
        request_id = f"epoch-{now_ns}" + (f"-{self.name}" if self.name != EXECUTOR else "")
        limits = self._settings.limits
        data: dict[str, Any] = {
            "tape": self._tape,
            "rows": rows,
            "from_ns": from_ns,
            "until_ns": now_ns,
            "strategy": executor.strategy.name,
            **({"strategy_digest": executor.strategy.digest} if executor.strategy.digest else {}),
            "incumbent": _typed(executor, self.staged(executor).params),
            "limits": asdict(limits),
            "latency": {
                "feed_ns": latency.feed_ns,
                "entry_ns": latency.entry_ns,
                "response_ns": latency.response_ns,
            },
            "fees": {"maker": self._instrument.maker_fee, "taker": self._instrument.taker_fee},
            "equity": units_text(ledger.equity_units(mid2)),
            "position": units_text(ledger.position_lots * self._instrument.lot_units),
            "base": units_text(ledger.start_base),
            "cycle_ns": self._settings.cycle_ns,
            "epoch_ns": advice.epoch_ns,
            "queue": QUEUE,
            "check_balance": True,
            "candidates": advice.candidates,
            "generations": advice.generations,
            "seed": advice.seed,
            "request_id": request_id,
            **self._watched(now_ns, executor),
            **(self.chair.request(now_ns) if self.chair is not None else {}),
        }
        try:
            item = message("optimize_request", now_ns, self.name, OPTIMIZER, data)
            self._journal(now_ns, "out", item)
            await self._line.send(item)
        except (DataError, RefusedError, NotRunningError) as error:
            self._failed(now_ns, str(error), gone=isinstance(error, NotRunningError))
            return
        if self._open is not None:
            self._lost.append(self._open.name)
        self._open = Request(request_id, now_ns + advice.answer_cycles * self._settings.cycle_ns)

    def _watched(self, now_ns: int, executor: Tuned) -> dict[str, Any]:
        """What the request says of the parameters in use: those that are watched, and what traded since the last."""
        found: dict[str, Any] = {}
        shadow = self.staged(executor).request()
        if shadow is not None:
            pair = {name: _typed(executor, shadow[name]) for name in ("candidate", "incumbent")}
            found["shadow"] = {**shadow, **pair}
        if self._traded:
            found["traded"] = [{"from_ns": since, "params": _typed(executor, params)} for since, params in self._traded]
        self._traded = [(now_ns, dict(executor.params))]
        return found

    async def answer(self, now_ns: int, executor: Tuned, ledger: Ledger, mid2: int, *, wait: bool) -> Verdict | None:
        """The verdict on the answer that takes effect now; ``None`` if none is due or none came.

        Parameters
        ----------
        wait
            In lockstep: wait for an answer that is due, so that results do not depend on machine load. Otherwise an
            answer that is not there yet is looked for again at the next decision.
        """
        request = self._open
        if request is None or self.gone or now_ns < request.due_ns:
            return None
        wait = wait and request.given_up is None
        self._waiting_since = time.monotonic()
        try:
            delivery = await self._inbox.next(self._advice.timeout_s if wait else 0.0)
        except NotRunningError as error:
            self._failed(now_ns, str(error), gone=True)
            return None
        finally:
            self._waiting_since = None
        if delivery is None:
            self._overdue(now_ns, request, waited=wait)
            return None
        if delivery.message is None:
            self._settle(delivery.in_reply_to or None)
            self.proposals += 1
            self.refused += 1
            self.latest = Latest(f"refused: {delivery.refused}", False)
            self._note(ts=now_ns, direction="in", message_type="", body="", verdict="invalid", why=delivery.refused)
            return None
        return await self._judge(now_ns, delivery.message, executor, ledger, mid2)

    def _overdue(self, now_ns: int, request: Request, *, waited: bool) -> None:
        """Give up a request whose answer is late, or count it as lost when that was long ago."""
        advice = self._advice
        if request.given_up is None:
            if waited or now_ns - request.due_ns >= advice.epoch_ns:
                request.given_up = (now_ns, time.monotonic())
                self._failed(now_ns, str(TimedOutError(f"no answer to {request.name} in time: it is left alone")))
            return
        since_ns, since_s = request.given_up
        patience = 2 ** len(self._lost)
        elapsed_s = time.monotonic() - since_s
        if now_ns - since_ns >= patience * advice.epoch_ns and elapsed_s >= patience * advice.timeout_s:
            self._open = None
            self._lost.append(request.name)
            self._failed(now_ns, str(TimedOutError(f"{request.name} counts as lost: the next request is sent")))

    def _settle(self, reply: str | None) -> None:
        """Take note of what is answered; what does not say what it answers belongs to the oldest that is not."""
        if reply is None and self._lost:
            reply = self._lost[0]
        if reply in self._lost:
            del self._lost[: self._lost.index(reply) + 1]
        elif self._open is not None and reply in (None, self._open.name):
            self._open = None
            self._lost.clear()

    async def _judge(self, now_ns: int, item: Message, executor: Tuned, ledger: Ledger, mid2: int) -> Verdict | None:
        reply, request = getattr(item.data, "in_reply_to", None), self._open
        if item.target_agent != self.name:  # the late answer to a request of somebody else
            self._journal(now_ns, "in", item, "refused", f"stale: it is for {item.target_agent}, {self.name} has asked")
            if reply is not None:  # ours, wrongly addressed: no other will come
                self._settle(reply)
            return None
        awaited = request.name if request is not None and request.given_up is None else "nothing"
        earlier = self._lost[0] if self._lost and reply is None else ""
        self._settle(reply)
        stepped = await self._compare(now_ns, item, executor)
        if self.chair is not None:
            self.chair.heard(now_ns, item, self.staged(executor).held)
        self.calibration = calibration_of(item.data.model_extra or {}) or self.calibration
        if isinstance(item, StatusMessage):
            error = item.data.state == "error"
            self.errors += error
            self.latest = Latest(f"{item.data.state}: {item.data.reason}")
            self._journal(now_ns, "in", item, "error" if error else "", item.data.reason)
            return None
        if not isinstance(item, ParameterUpdateMessage):
            self._journal(now_ns, "in", item, "refused", "an executor does not act on it")
            return None
        equity = ledger.equity_units(mid2) / 1e8
        mid = mid2 * 0.5 * float(self._instrument.tick)
        rollout = self.staged(executor)
        back = stepped is not None and stepped.stage == "rolled_back"
        standing = Standing(
            executor.strategy.name,
            rollout.params,
            executor.limits,
            equity,
            mid,
            self._advice.threshold,
            awaited,
            self._advice.gate,
            self._held(rollout, back=back, earlier=earlier),
        )
        judged = verdict = judge(item.data, standing)
        if verdict.accepted and self.council is not None:
            confidence = item.data.confidence_score
            verdict = self.council(
                now_ns, item.source_agent, verdict, confidence, executor.strategy.name, rollout.params
            )
        self.proposals += 1
        self.accepted += verdict.accepted
        self.refused += not verdict.accepted
        word = "accepted" if verdict.accepted else "refused"
        self.latest = Latest(f"{word}: {'; '.join(verdict.reasons)}", verdict.accepted)
        self._journal(now_ns, "in", item, word, "; ".join(verdict.reasons))
        name = item.data.proposal_id or item.data.in_reply_to or f"proposal-{now_ns}"
        told: dict[str, Any] = {
            "confidence_score": item.data.confidence_score,
            "judged": {**asdict(judged), "standing": asdict(standing)},  # so that the journal can be replayed
        }
        if verdict.accepted:
            scale = _block_deviation(item.data.model_extra or {}, rollout.rules.block)
            step = rollout.accept(now_ns, name, verdict.params, item.timestamp_ns, scale)
            reasons = [*verdict.reasons, step.cause]
            await self._tell(now_ns, {**step.data(), "reasons": reasons, **told}, step.stage, item.source_agent)
        else:
            data = {"in_reply_to": name, "accepted": False, "reasons": list(verdict.reasons), "stage": "refused"}
            await self._tell(now_ns, {**data, **told}, "refused", item.source_agent)
        return verdict

    def _held(self, rollout: Rollout, *, back: bool = False, earlier: str = "") -> str:
        if earlier:
            return f"stale: it does not say what it answers, and {earlier} was not answered before"
        if back:
            return "it was judged against parameters that have just been rolled back"
        return rollout.held or (self.chair.held if self.chair is not None else "")

    def take(self, now_ns: int, name: str, params: Mapping[str, float], why: str, executor: Tuned) -> None:
        """Let parameters that came from no proposal go the same way: small first, and back if they do harm."""
        rollout = self.staged(executor)
        if self._held(rollout):
            return
        step = rollout.accept(now_ns, name, params, now_ns, 0.0)
        self.latest = Latest(f"{name}: {why}; {step.cause}", True)
        body = message("decision", now_ns, self.name, self.name, {**step.data(), "reasons": [why, step.cause]})
        self._journal(now_ns, "out", body, step.stage, why)

    async def _compare(self, now_ns: int, item: Message, executor: Tuned) -> Transition | None:
        """Take in the shadow comparison that an answer carries."""
        carried = getattr(item.data, "shadow", None)
        seen = None if carried is None else comparison_of({"shadow": carried.model_dump()})
        step = None if seen is None else self.staged(executor).observe(seen, now_ns)
        if step is not None:
            await self._announce(now_ns, step)
        return step

    async def _announce(self, now_ns: int, step: Transition) -> None:
        self.latest = Latest(f"{step.proposal_id} {step.cause}", step.stage != "rolled_back")
        await self._tell(now_ns, step.data(), step.stage, OPTIMIZER)

    async def _tell(self, now_ns: int, data: dict[str, Any], stage: str, target: str) -> None:
        """Journal a decision and send it: what it says is done already, whether the other hears of it or not."""
        try:
            reply = message("decision", now_ns, self.name, target, data)
            self._journal(now_ns, "out", reply, stage, "; ".join(data["reasons"]))
            if not self.gone:
                await self._line.send(reply)
        except (DataError, RefusedError, NotRunningError) as error:
            self._failed(now_ns, str(error), gone=isinstance(error, NotRunningError))

    async def close(self) -> None:
        """Stop waiting."""
        await self._inbox.close()

    def _failed(self, now_ns: int, why: str, *, gone: bool = False) -> None:
        self.errors += 1
        self.gone = self.gone or gone
        self.latest = Latest(f"error: {why}", False)
        self._note(ts=now_ns, direction="in", message_type="", body="", verdict="error", why=why)

    def _journal(self, now_ns: int, direction: str, item: Message, verdict: str = "", why: str = "") -> None:
        self._note(
            ts=now_ns,
            direction=direction,
            message_type=item.message_type,
            body=encode(item).decode(),
            verdict=verdict,
            why=why,
        )


def _typed(executor: Tuned, params: Mapping[str, float]) -> dict[str, int | float]:
    whole = {parameter.name for parameter in registry.strategy(executor.strategy.name).parameters if parameter.integer}
    return {name: int(value) if name in whole else value for name, value in params.items()}


def _block_deviation(content: Mapping[str, Any], block: int) -> float:
    """Deviation of a block's paired difference, from the interval a proposal states; 0 where it states none."""
    found = content.get("paired")
    if not isinstance(found, Mapping):
        return 0.0
    parts = [found.get(name) for name in ("lower", "upper", "cycles")]
    if not all(isinstance(part, int | float) and not isinstance(part, bool) for part in parts):
        return 0.0
    lower, upper, cycles = (float(part) for part in parts if part is not None)
    return max(0.0, upper - lower) / (2.0 * 1.96) * math.sqrt(max(0.0, cycles) * block)


def calibration_of(content: Mapping[str, Any]) -> tuple[float, int] | None:
    """Brier score and count of judged proposals, where a message's data carry the optimizer's own account of them."""
    score = content.get("reliability")
    if not isinstance(score, dict):
        return None
    brier, count = score.get("brier"), score.get("n")
    if not isinstance(brier, int | float) or not isinstance(count, int) or count < 1:
        return None
    return float(brier), count
