"""The agent: answers each request with a proposal, or with the reason why there is none."""

import math
from collections.abc import Callable, Collection
from dataclasses import asdict
from typing import Any, Final

import numpy as np

from tidewright.agents.optimizer import regret
from tidewright.agents.optimizer.assumptions import RULES
from tidewright.agents.optimizer.calibration import CALIBRATED_BOUND
from tidewright.agents.optimizer.challenge import compare
from tidewright.agents.optimizer.change import noticed, shortened
from tidewright.agents.optimizer.evidence import Evidence
from tidewright.agents.optimizer.judge import Judge, Settings, ShadowJudge
from tidewright.agents.optimizer.memory import Forecast, Memory
from tidewright.agents.optimizer.objective import TOO_FEW
from tidewright.agents.optimizer.space import of_request
from tidewright.agents.optimizer.steered import SteeredLanes
from tidewright.agents.optimizer.study import Findings, Lane, Plan, complete, study
from tidewright.agents.optimizer.tuning import Tuner
from tidewright.agents.optimizer.validation import checks
from tidewright.agents.optimizer.windows import Split, Window, split
from tidewright.coordination.messages import Message, OptimizeRequestMessage, message
from tidewright.coordination.payloads import OptimizeRequest, ShadowRequest
from tidewright.engine.sweep import Runner, Threads
from tidewright.market.clock import SECOND, iso
from tidewright.market.errors import TidewrightError, UsageError
from tidewright.market.instrument import text_units
from tidewright.market.tape import Tape
from tidewright.measure.reliability import plain
from tidewright.measure.sequential import block_sums
from tidewright.risk.limits import OFF, Limits
from tidewright.strategies import registry
from tidewright.strategies.custom import is_reference

SHOWN: Final = ("total_return", "sharpe", "sqn", "max_drawdown", "fills", "closed_trades", "fees", "win_rate")
JudgeOf = Callable[[OptimizeRequest, int], Judge]


class Optimizer:
    """Judges requests one after another; remembers what it tried and foretold.

    Parameters
    ----------
    memory
        What it knows from before.
    judge_of
        Makes the judge of a request; its second argument is the earliest time that will be judged.
    threads
        Threads that share the lanes; one by default, because the session needs a core too. It changes no answer.
    files
        Strategies of users' files that requests may name. A file is code, and a request is only a message: one that
        names another file is answered with an error, and the file is not opened.
    rest
        Called after each generation: where the process keeps to its share of a core.
    """

    def __init__(
        self,
        memory: Memory | None = None,
        judge_of: JudgeOf | None = None,
        threads: int = 1,
        files: Collection[str] = (),
        rest: Callable[[], None] | None = None,
    ) -> None:
        self._rest = rest
        self._tuner = Tuner()
        self._files = {registry.strategy(name).name for name in files}
        self.memory = memory or Memory()
        self._judge_of = judge_of or _Shadows(Threads(threads)).judge_of
        self._account_of = judge_of or _Shadows(Threads(threads)).judge_of  # begins at other times

    def answer(self, request: OptimizeRequestMessage) -> Message:
        """A ``parameter_update``, or a ``status`` that says why not."""
        tuned: dict[str, Any] = {}
        try:
            if request.data.fine_tune:
                tuned = self._tuner.collect(self.memory)
                self._tuner.begin(request.data)
            return self._answer(request, tuned)
        except TidewrightError as error:
            return _status(request, "error", str(error), tuned)

    def close(self) -> None:
        """End what runs beside it."""
        self._tuner.close()

    def _answer(self, request: OptimizeRequestMessage, tuned: dict[str, Any]) -> Message:
        data = request.data
        self._check_strategy(data)
        incumbent = complete(data.strategy, data.incumbent.values())
        latency = data.latency.feed_ns + data.latency.entry_ns + data.latency.response_ns
        parts = split(data.from_ns, data.until_ns, data.cycle_ns, latency)
        due = [item for item in self.memory.pending if item.until_ns <= data.until_ns]
        book = regret.of_memory(self.memory.regret)
        watched = [asked.from_ns for asked in (data.shadow, data.challenge) if asked is not None]
        earliest = min([parts.inside.start_ns, *(item.made_ns for item in due), *watched])
        judge = self._judge_of(data, earliest)
        shadow = dict(tuned) if data.shadow is None else {**tuned, "shadow": _shadow(judge, data, data.shadow)}
        if data.challenge is not None:
            shadow["challenge"] = compare(self._judge_of, data, data.challenge, earliest)
        settled = self._settle(judge, data, due)
        change = noticed(judge, data.from_ns, data.until_ns, data.cycle_ns)
        if change is not None:
            begins = shortened(data.from_ns, data.until_ns, data.cycle_ns, change)
            parts = split(begins, data.until_ns, data.cycle_ns, latency)
        plan = Plan(
            strategy=data.strategy,
            space=of_request(data.strategy, data.space),
            incumbent=incumbent,
            split=parts,
            cycle_ns=data.cycle_ns,
            horizon=max(1, data.epoch_ns // data.cycle_ns),
            candidates=data.candidates,
            generations=data.generations,
            seed=data.seed,
        )
        found = study(judge, plan, self.memory, None if self._rest is None else self._paced)
        if book is None or book.strategy != data.strategy:
            book = regret.begin(data, plan.space, incumbent, complete(data.strategy, {}))
        chosen = [] if found.evidence is None else [found.outside[found.chosen].params]
        book = regret.settle(self._account_judge, book, data, incumbent, chosen)
        book = regret.put_forward(book, [*self.memory.elites, *(lane.params for lane in found.inside)])
        self.memory.regret = book.to_json()
        self.memory.epochs += 1
        told = {
            "settled": settled,
            "change": None if change is None else change.to_json(),
            "regret": regret.told(book),
            **shadow,
        }
        if found.evidence is None:
            return _status(request, "no_proposal", found.reason, {**self._record(found, plan), **told})
        return self._proposal(request, plan, found, found.evidence, told)

    def _paced(self, done: int, total: int) -> None:
        if self._rest is not None:
            self._rest()

    def _account_judge(self, data: OptimizeRequest, begin_ns: int) -> Judge:
        if self._rest is not None:
            self._rest()
        return self._account_of(data, begin_ns)

    def _check_strategy(self, data: OptimizeRequest) -> None:
        if not is_reference(data.strategy):
            return
        if data.strategy not in self._files:
            raise UsageError(f"this optimizer was not started for the strategy {data.strategy}")
        if data.strategy_digest not in (None, registry.strategy(data.strategy).digest):
            raise UsageError(f"strategy {data.strategy} was edited while the session runs: its judgement would mislead")

    def _settle(self, judge: Judge, data: OptimizeRequest, due: list[Forecast]) -> list[dict[str, Any]]:
        """Judge earlier forecasts on the epoch that has come since; a change of strategy leaves them open for good."""
        told = []
        for forecast in due:
            self.memory.pending.remove(forecast)
            if forecast.strategy != data.strategy:
                continue
            pair = {key: np.array([forecast.candidate[key], forecast.incumbent[key]]) for key in forecast.candidate}
            window = Window(forecast.made_ns, forecast.until_ns)
            increments = judge.evaluate(window, pair, 2, record=True).increments
            if len(increments) == 0:
                continue
            difference = float((increments[:, 0] - increments[:, 1]).sum())
            told.append(
                {
                    "proposal_id": forecast.proposal_id,
                    "sent": forecast.sent,
                    "confidence_score": forecast.confidence,
                    "difference": difference,
                    "outcome": self.memory.settle(forecast, difference),
                }
            )
        return told

    def _proposal(
        self,
        request: OptimizeRequestMessage,
        plan: Plan,
        found: Findings,
        evidence: Evidence,
        told: dict[str, Any],
    ) -> Message:
        data = request.data
        calibrated = self.memory.calibration().apply(evidence.confidence)
        confidence = round(min(max(calibrated, CALIBRATED_BOUND), 1.0 - CALIBRATED_BOUND), 4)
        chosen = found.outside[found.chosen]
        proposal_id = f"{request.target_agent}-{data.until_ns}"
        self.memory.pending.append(
            Forecast(
                proposal_id=proposal_id,
                made_ns=data.until_ns,
                until_ns=data.until_ns + plan.horizon * data.cycle_ns,
                strategy=data.strategy,
                candidate=chosen.params,
                incumbent=dict(plan.incumbent),
                raw=evidence.confidence,
                confidence=confidence,
                sent=not found.reason,
                expected=evidence.expected,
                deviation=evidence.deviation,
            )
        )
        record = {**self._record(found, plan, evidence), **told}
        if found.reason:
            return _status(request, "no_proposal", found.reason, {**record, "confidence_score": confidence})
        metrics, undefined = _metrics(chosen)
        content = {
            "optimized_params": _params(plan, chosen.params),
            "performance_metrics": metrics,
            "confidence_score": confidence,
            "strategy": data.strategy,
            "proposal_id": proposal_id,
            **_reply(request),
            **record,
            "undefined": undefined,
        }
        return _message("parameter_update", request, content)

    def _record(self, found: Findings, plan: Plan, evidence: Evidence | None = None) -> dict[str, Any]:
        record: dict[str, Any] = {
            "trials": found.trials,
            "trials_this_epoch": found.trials_now,
            "seed": plan.seed,
            "window": _window(plan.split, plan.cycle_ns),
            "reliability": plain(self.memory.reliability()),
            "assumptions": list(RULES),
        }
        for name, lanes in (("in_sample", found.inside), ("out_of_sample", found.outside)):
            if lanes:
                record[name] = {"candidate": _shown(lanes[max(found.chosen, 0)]), "incumbent": _shown(lanes[-1])}
        if evidence is not None:
            record["paired"] = _paired(evidence)
            record["next_epoch"] = self.memory.interval(evidence.expected, evidence.deviation).to_json()
            record["deflated_sharpe"] = None if found.deflated is None else asdict(found.deflated)
            record["validation"] = None if found.validation is None else found.validation.to_json()
            record["stability"] = None if found.steady is None else found.steady.to_json()
            record["checks"] = checks(found.validation, found.steady, evidence)
        return record


class _Shadows:
    """Judges of one session share the fold of the tape's beginning."""

    def __init__(self, runner: Runner) -> None:
        self._last: ShadowJudge | None = None
        self._runner = runner
        self._policies: dict[str, Runner] = {}

    def judge_of(self, data: OptimizeRequest, earliest_ns: int) -> Judge:
        tape = Tape.open(data.tape)
        if data.rows > len(tape):
            raise UsageError(f"rows must be at most the {len(tape)} of tape {data.tape}, was {data.rows}")
        runner = self._runner if data.policy is None else self._steered(data.policy.model_dump())
        self._last = ShadowJudge(tape, data.rows, data.strategy, settings(data), earliest_ns, self._last, runner)
        return self._last

    def _steered(self, reference: dict[str, Any]) -> Runner:
        """Lanes under a policy; the base rule's are not steered."""
        known = self._policies.get(reference["sha256"])
        if known is None:
            known = self._policies[reference["sha256"]] = SteeredLanes.of(reference, self._runner)
        return known


def _shadow(judge: Judge, data: OptimizeRequest, asked: ShadowRequest) -> dict[str, Any]:
    """Two lanes on what has come since: accepted parameters and those they replaced."""
    new, old = (complete(data.strategy, params.values()) for params in (asked.candidate, asked.incumbent))
    window = Window(max(asked.from_ns, data.from_ns), data.until_ns)
    cycles = window.cycles(data.cycle_ns)
    differences: list[float] = []
    if cycles:
        pair = {name: np.array([new[name], old[name]]) for name in new}
        increments = judge.evaluate(window, pair, 2, record=True).increments
        differences = block_sums(increments[:, 0] - increments[:, 1], asked.block).tolist()
    return {
        "proposal_id": asked.proposal_id,
        "from_ns": window.start_ns,
        "until_ns": window.end_ns,
        "cycles": cycles,
        "block": asked.block,
        "differences": differences,
    }


def settings(data: OptimizeRequest) -> Settings:
    """What the shadow lanes of a request share with its session."""
    limits = OFF if data.limits is None else Limits(**data.limits.model_dump())
    return Settings(
        cycle_ns=data.cycle_ns,
        feed_ns=data.latency.feed_ns,
        entry_ns=data.latency.entry_ns,
        response_ns=data.latency.response_ns,
        maker_fee=None if data.fees is None else data.fees.maker,
        taker_fee=None if data.fees is None else data.fees.taker,
        limits=limits,
        queue=data.queue,
        equity=text_units(data.equity, "equity"),
        base=text_units(data.base, "base"),
        check_balance=data.check_balance,
    )


def _status(request: OptimizeRequestMessage, state: str, reason: str, more: dict[str, Any] | None = None) -> Message:
    content = {"state": state, "reason": reason[:4000], **_reply(request), **(more or {})}
    return _message("status", request, content)


def _message(kind: str, request: OptimizeRequestMessage, content: dict[str, Any]) -> Message:
    return message(kind, request.data.until_ns, request.target_agent, request.source_agent, content)


def _reply(request: OptimizeRequestMessage) -> dict[str, str]:
    return {} if request.data.request_id is None else {"in_reply_to": request.data.request_id}


def _params(plan: Plan, params: dict[str, float]) -> dict[str, int | float]:
    whole = {"levels", *(part.name for part in plan.space.dimensions if part.kind == "int")}
    return {name: int(value) if name in whole else value for name, value in params.items()}


def _metrics(lane: Lane) -> tuple[dict[str, float], list[str]]:
    """The schema's three figures; one that is undefined for want of trades or of variation is 0 and named."""
    names = {"sqn_score": "sqn", "sharpe_ratio": "sharpe", "max_drawdown": "max_drawdown"}
    undefined = [name for name, figure in names.items() if not math.isfinite(lane.figures[figure])]
    values = {name: 0.0 if name in undefined else lane.figures[figure] for name, figure in names.items()}
    values["max_drawdown"] = min(1.0, max(0.0, values["max_drawdown"]))
    return values, undefined


def _shown(lane: Lane) -> dict[str, Any]:
    figures = {name: _plain(lane.figures[name]) for name in SHOWN}
    return {"params": lane.params, "score": None if lane.score < TOO_FEW else _plain(lane.score), **figures}


def _paired(evidence: Evidence) -> dict[str, Any]:
    values = asdict(evidence)
    before = values.pop("confidence")
    return {**values, "confidence_before_calibration": before}


def _window(parts: Split, cycle_ns: int) -> dict[str, Any]:
    return {
        "in_sample": [iso(parts.inside.start_ns), iso(parts.inside.end_ns)],
        "out_of_sample": [iso(parts.outside.start_ns), iso(parts.outside.end_ns)],
        "embargo_cycles": parts.embargo,
        "cycle_s": cycle_ns / SECOND,
    }


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None
