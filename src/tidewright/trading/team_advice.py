"""The optimizer for several agents on one account: each has a line of its own to it, and they ask in turn.

Every agent is advised as one strategy alone would be (:class:`tidewright.trading.advice.Advice`): it is asked about
once an epoch, its proposal is judged, tried as a canary and rolled back by itself. The epochs of the agents are shifted
against each other, so that one request is open at a time.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tidewright.agents.executor.proposals import Verdict
from tidewright.risk.limits import Limits
from tidewright.strategies import registry
from tidewright.trading.advice import Advice, Before, Latest
from tidewright.trading.ledger import Ledger
from tidewright.trading.settings import AdviceSettings
from tidewright.trading.several import STEP, Desk


class Place:
    """One agent of a desk, as its advice sees it: parameters as it would trade the whole capital."""

    def __init__(self, desk: Desk, name: str) -> None:
        self._desk, self._name = desk, name

    @property
    def strategy(self) -> registry.Strategy:
        """The rule that quotes."""
        return self._desk.agents[self._name].executor.strategy

    @property
    def params(self) -> dict[str, float]:
        """What it quotes with now."""
        return dict(self._desk.agents[self._name].params)

    @property
    def limits(self) -> Limits:
        """The account's."""
        return self._desk.limits

    @property
    def share(self) -> float:
        """Of the account's capital."""
        return max(self._desk.agents[self._name].share, STEP)

    def use(self, params: Mapping[str, float]) -> None:
        """Take parameters from the next decision on."""
        self._desk.use({f"{self._name}.{parameter}": value for parameter, value in params.items()})


class TeamAdvice:
    """Asks about each agent in turn; otherwise as :class:`tidewright.trading.advice.Advice`.

    Parameters
    ----------
    advices
        By agent; agents that are steered by a policy have none.
    """

    def __init__(self, advices: Mapping[str, Advice], settings: AdviceSettings, cycle_ns: int) -> None:
        self._advices = dict(advices)
        self._step_ns = settings.epoch_ns // cycle_ns // len(advices) * cycle_ns
        self._turn: list[str] = []
        self._before = (0, 0)
        self._spoke = ""
        self._texts = {name: advice.latest for name, advice in self._advices.items()}

    # -- counts and screens --------------------------------------------------------------------------------------------

    def resume(self, before: Before) -> None:
        """Go on after a restart; what was counted before is counted for all together."""
        self._before = (before.accepted, before.refused)
        for advice in self._advices.values():
            advice.resume(replace(before, accepted=0, refused=0))

    @property
    def accepted(self) -> int:
        """Proposals taken, of all agents."""
        return self._before[0] + sum(advice.accepted for advice in self._advices.values())

    @property
    def refused(self) -> int:
        """Proposals refused, of all agents."""
        return self._before[1] + sum(advice.refused for advice in self._advices.values())

    @property
    def proposals(self) -> int:
        """All proposals."""
        return sum(self._before) + sum(advice.proposals for advice in self._advices.values())

    @property
    def errors(self) -> int:
        """Requests that came to nothing."""
        return sum(advice.errors for advice in self._advices.values())

    @property
    def waiting_s(self) -> float:
        """Wall seconds for which the session has stood still for an answer."""
        return max(advice.waiting_s for advice in self._advices.values())

    @property
    def calibration(self) -> tuple[float, int] | None:
        """Brier score of the confidences of all, and how many were judged."""
        known = [advice.calibration for advice in self._advices.values() if advice.calibration is not None]
        count = sum(number for _, number in known)
        return (sum(score * number for score, number in known) / count, count) if count else None

    @property
    def latest(self) -> Latest:
        """The newest answer, with the agent it is for."""
        newest = self._advices.get(self._spoke)
        return Latest() if newest is None else Latest(f"{self._spoke}: {newest.latest.text}", newest.latest.accepted)

    def aim(self, desk: Desk) -> dict[str, float]:
        """Parameters that are aimed at, by ``agent.name``."""
        found = dict(desk.params)
        for name, advice in self._advices.items():
            found |= {f"{name}.{key}": value for key, value in advice.aim(Place(desk, name)).items()}
        return found

    def stage(self, desk: Desk) -> tuple[str, dict[str, Any]]:
        """Stages of all agents' parameters, in words and as plain values by agent."""
        found = {name: advice.stage(Place(desk, name)) for name, advice in self._advices.items()}
        moving = [f"{name} {text}" for name, (text, state) in found.items() if state["stage"] != "steady"]
        return "; ".join(moving) or "steady", {name: state for name, (_, state) in found.items()}

    # -- the cycle -----------------------------------------------------------------------------------------------------

    def due(self, now_ns: int, started_ns: int) -> bool:
        """Whether somebody's turn has come and no request is open."""
        for number, (name, advice) in enumerate(self._advices.items()):
            if name not in self._turn and advice.due(now_ns, started_ns + number * self._step_ns):
                self._turn.append(name)
        return bool(self._turn) and not any(advice.awaiting for advice in self._advices.values())

    async def ask(self, now_ns: int, from_ns: int, rows: int, desk: Desk, ledger: Ledger, mid2: int) -> None:
        """Ask about the agent whose turn it is."""
        name = self._turn.pop(0)
        await self._advices[name].ask(now_ns, from_ns, rows, Place(desk, name), ledger, mid2)
        self._listen()

    async def answer(self, now_ns: int, desk: Desk, ledger: Ledger, mid2: int, *, wait: bool) -> Verdict | None:
        """The verdict on the answer that takes effect now; see :meth:`Advice.answer`."""
        verdict = None
        for name, advice in self._advices.items():
            if advice.awaiting:
                verdict = await advice.answer(now_ns, Place(desk, name), ledger, mid2, wait=wait)
        self._listen()
        return verdict

    async def watch(self, now_ns: int, desk: Desk) -> None:
        """Steps that the passing of time causes."""
        for name, advice in self._advices.items():
            await advice.watch(now_ns, Place(desk, name))
        self._listen()

    async def use(self, now_ns: int, desk: Desk, mid2: int) -> None:
        """Hand every agent what it is to trade with now."""
        for name, advice in self._advices.items():
            place = Place(desk, name)
            await advice.use(now_ns, place, mid2)
            desk.aims[name] = advice.aim(place)
        self._listen()

    def take(self, now_ns: int, name: str, params: Mapping[str, float], why: str, desk: Desk) -> None:
        """Let parameters that came from no proposal, by ``agent.name``, go the same way as proposals."""
        for agent, advice in self._advices.items():
            place = Place(desk, agent)
            own = {key: params.get(f"{agent}.{key}", value) for key, value in advice.aim(place).items()}
            if own != advice.aim(place):
                advice.take(now_ns, f"{name}-{agent}", own, why, place)
        self._listen()

    async def close(self) -> None:
        """Stop waiting."""
        for advice in self._advices.values():
            await advice.close()

    def _listen(self) -> None:
        for name, advice in self._advices.items():
            if advice.latest is not self._texts[name]:
                self._texts[name], self._spoke = advice.latest, name
