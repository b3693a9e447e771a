"""Several samplers share one budget, each by what it has earned lately.

What a sampler earns is hypervolume: how much each point it proposed added to the front, told when the point was judged
(:func:`tidewright.agents.optimizer.samplers.front.gains`). Earnings are discounted, because a sampler that is quick at
first may be the wrong one later. A sampler of which little is known lately is taken to earn as much as the best one, so
that each is tried at first and tried again after a while; and each keeps a floor.

Where the caller tells how long judging takes, earnings count a second, not an evaluation: of judging and of the part's
own thinking, as its formula has it. A part that would think longer than its points take to be judged stands back for
the one that earns most, until it may have its floor of the time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from tidewright.agents.optimizer.samplers.history import History, Proposal, Sampler

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

HALF_LIFE: Final = 20.0  # evaluations; a larger batch lengthens it to its own size
MEMORY: Final = 4.0  # half-lives of the level that a part of which little is known is taken to earn
FLOOR: Final = 0.03  # share that each part keeps
DOUBT: Final = 2.0  # evaluations at that level, added to what each part has shown
SHARPNESS: Final = 4.0  # shares go by earnings to this power
LONGEST: Final = 3.0  # times as long as judging takes may even the best part think


class Ensemble:
    """Deals positions out to its parts.

    Parameters
    ----------
    parts
        Samplers by name; the order is that of ``source`` in a history.
    quick
        Those of them that take part only where the caller tells how long judging takes, and it takes less than most
        others think.
    """

    def __init__(self, parts: Mapping[str, Sampler], quick: Sequence[str] = ()) -> None:
        self._parts = dict(parts)
        self._usual = np.array([name not in quick for name in self._parts])

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parts."""
        return tuple(self._parts)

    @property
    def state(self) -> Mapping[str, list[float]]:
        """What the parts carry on."""
        return {f"{name}/{key}": value for name, part in self._parts.items() for key, value in part.state.items()}

    @state.setter
    def state(self, value: Mapping[str, list[float]]) -> None:
        for name, part in self._parts.items():
            prefix = f"{name}/"
            part.state = {key.removeprefix(prefix): kept for key, kept in value.items() if key.startswith(prefix)}

    def propose(self, history: History, count: int, rng: np.random.Generator) -> Proposal:
        """Positions of all parts, those of a part together."""
        units, sources = [], []
        for number, (part, share) in enumerate(zip(self._parts.values(), self.dealt(history, count), strict=True)):
            if share == 0:
                continue
            found = part.propose(history, int(share), rng).units
            history = replace(history, pending=np.concatenate([history.pending, found]))
            units.append(found)
            sources.append(np.full(len(found), number, np.int64))
        return Proposal(np.concatenate(units), np.concatenate(sources))

    def thinking(self, history: History, count: int) -> float:
        """Seconds of all parts that would propose."""
        dealt = zip(self._parts.values(), self.dealt(history, count).tolist(), strict=True)
        return sum(part.thinking(history, share) for part, share in dealt if share)

    def shares(self, history: History, count: int = 1) -> F64:
        """Share of the budget each part has earned, shape (parts,); they add up to 1."""
        value = self._rates(history, count)
        taking = self._taking(history, count)
        if history.price is not None:
            seconds = [history.price + part.thinking(history, count) / count for part in self._parts.values()]
            value = value / np.sqrt(seconds)  # credit is a root too
        power = (value[taking] / value[taking].max()) ** SHARPNESS
        share = np.zeros(len(self._parts))
        share[taking] = FLOOR + (1.0 - FLOOR * len(power)) * power / power.sum()
        return share

    def _taking(self, history: History, count: int) -> Bools:
        """Which parts take part: the quick ones where half of the usual ones would think far longer than is judged."""
        if history.price is None or self._usual.all():
            return self._usual
        thinking = np.array([part.thinking(history, count) for part in self._parts.values()])[self._usual]
        slow = thinking > LONGEST * history.price * count
        return self._usual | bool(2 * slow.sum() >= len(slow))

    def _rates(self, history: History, count: int) -> F64:
        """What an evaluation of each part earns; all alike as long as nothing was earned."""
        parts = len(self._parts)
        credit = np.sqrt(history.gain)  # a lucky find counts, but not for all that comes after
        if history.feasible.any():
            credit[: int(np.argmax(history.feasible)) + 1] = 0.0  # nearing the constraints was another currency
        weight, source = _weights(history, count)
        known, earned = _sums(weight, source, parts), _sums(weight * credit, source, parts)
        long, _ = _weights(history, count, MEMORY)
        usual = float((long * credit).sum() / max(1.0, float(long.sum())))
        level = max(usual, float(np.max(earned / (known + 1.0))))
        if level <= 0.0:
            return np.ones(parts)
        return (earned + DOUBT * level) / (known + DOUBT)

    def dealt(self, history: History, count: int) -> I64:
        """How many positions each part proposes: those that lag most behind their share come first."""
        weight, source = _weights(history, count)
        share = self.shares(history, count)
        dealt = lagging(share, _sums(weight, source, len(self._parts)), count)
        return dealt if history.price is None else self._afforded(history, history.price, dealt, share)

    def _afforded(self, history: History, price: float, dealt: I64, share: F64) -> I64:
        """Points of parts that would think longer than these take to be judged go to the best one.

        Unless a part has waited so long that its thinking is no more than its floor of the time since its last turn.
        The best is one that thinks no more than ``LONGEST`` times as long as judging takes, else the quickest.
        """
        kept, count = dealt.copy(), int(dealt.sum())
        parts = list(self._parts.values())
        whole = np.array([part.thinking(history, count) for part in parts])
        able = whole <= LONGEST * price * count
        best = int(np.argmax(np.where(able, share, -1.0))) if able.any() else int(np.argmin(whole))
        for number, part in enumerate(parts):
            own = np.flatnonzero(history.source == number)
            waited = len(history) - (int(own[-1]) + 1 if len(own) else 0)
            allowed = price * max(float(dealt[number]), FLOOR * waited)
            if number != best and dealt[number] and part.thinking(history, int(dealt[number])) > allowed:
                kept[best] += dealt[number]
                kept[number] = 0
        return kept


def lagging(share: F64, had: F64, count: int) -> I64:
    """How many of so many go to each part, one after the other to whoever lags most behind its share of what was had.

    Plain numbers: for these few, arrays take ten times as long.
    """
    shares, held = share.tolist(), had.tolist()
    dealt = [0] * len(shares)
    for _ in range(count):
        whole = 1.0
        for number in held:
            whole += number
        behind = [part * whole - number for part, number in zip(shares, held, strict=True)]
        chosen = behind.index(max(behind))
        held[chosen] += 1.0
        dealt[chosen] += 1
    return np.array(dealt, np.int64)


def _weights(history: History, count: int, longer: float = 1.0) -> tuple[F64, I64]:
    age = np.arange(len(history))[::-1]
    weight = 0.5 ** (age / (longer * max(HALF_LIFE, float(count))))
    return np.where(history.source >= 0, weight, 0.0), history.source


def _sums(values: F64, source: I64, parts: int) -> F64:
    own = source >= 0
    return np.bincount(source[own], weights=values[own], minlength=parts).astype(np.float64)
