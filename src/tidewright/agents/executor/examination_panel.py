"""A policy, its members, what is left of it without one of its parts, and who knows the future: side by side.

Each of them is a lane of one replay, so all meet the same events, sizes and limits, and any two can be compared cycle
by cycle.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from tidewright.agents.executor.environment import F32, I64, Bool
from tidewright.agents.executor.environment_tape import HOLD
from tidewright.agents.executor.examination_leak import Told
from tidewright.agents.executor.policy import Policy
from tidewright.agents.executor.policy_run import Steered, settings_of
from tidewright.agents.executor.state import NAMES
from tidewright.engine.backtest import BacktestResult, backtest
from tidewright.market.tape import F64, Tape

POLICY: Final = "policy"
BASE: Final = "base rule"
FORESIGHT: Final = "knows the next move"
LATE: Final = "20 decisions late"
TOLD: Final = "learned with the next move"
LATE_BY: Final = 20
EXTENDED_NAMES: Final = (*NAMES, "queue_ahead_bid", "queue_ahead_ask", "flow_tilt", "flow_pace")

# Parts of an action: number in the continuous or discrete part, and the base rule's value (levels: the most there are).
_CONTINUOUS: Final = {"spread": 0, "skew": 1, "spacing": 2}
_FREE: Final = -1


@dataclass(frozen=True, slots=True)
class Contender:
    """One lane of a panel.

    Attributes
    ----------
    name
        What it is called.
    member
        Which network decides; ``None``: all of them, as the policy does.
    hidden
        Number of the state that is always 0; ``None``: none is.
    fixed
        Parts of the action that are the base rule's: of "spread", "skew", "spacing", "levels", "stance".
    late
        It does what the policy would have done so many decisions earlier.
    foresight
        It is no policy but buys before the mid rises, sells before it falls, and does both where it will come back.
    told
        It is the policy that learned with the next move in its state, and is shown it.
    """

    name: str
    member: int | None = None
    hidden: int | None = None
    fixed: tuple[str, ...] = ()
    late: int = 0
    foresight: bool = False
    told: Told | None = None


ALL_PARTS: Final = ("spread", "skew", "spacing", "levels", "stance")


def contenders(policy: Policy) -> list[Contender]:
    """The policy first, then its base rule, who knows the future, its ablations and its members."""
    found = [Contender(POLICY), Contender(BASE, fixed=ALL_PARTS), Contender(FORESIGHT, foresight=True)]
    found += [Contender(f"{part} off", fixed=(part,)) for part in ("spread", "skew", "spacing", "stance")]
    found += [Contender("levels fixed", fixed=("levels",)), Contender(LATE, late=LATE_BY)]
    names = EXTENDED_NAMES[: policy.spaces.observation]
    found += [Contender(f"{name} hidden", hidden=number) for number, name in enumerate(names)]
    found += [Contender(f"member {number}", member=number) for number in range(len(policy.members))]
    return found


def ablations(listed: list[Contender]) -> list[int]:
    """Places of those that are the policy without something."""
    return [
        place
        for place, one in enumerate(listed)
        if one.name == BASE or one.late or one.hidden is not None or (one.fixed and one.name != BASE)
    ]


@dataclass
class Panel(Steered):
    """Runs contenders as the lanes of one replay.

    Attributes
    ----------
    listed
        Who takes part; the policy itself is the first.
    future
        For every decision, warm-up included, by how much the mid moves until the next one, quote; empty: nobody knows.
    """

    listed: list[Contender] = field(default_factory=list)
    future: F64 = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        count, size, policy = len(self.listed), self.policy.spaces.observation, self.policy
        self._shown: F32 = np.ones((count, size), np.float32)
        self._fixed: Bool = np.zeros((count, 3), np.bool_)
        self._chosen: I64 = np.full((count, 2), _FREE, np.int64)
        for lane, one in enumerate(self.listed):
            if one.hidden is not None:
                self._shown[lane, one.hidden] = 0.0
            for part in one.fixed:
                if part in _CONTINUOUS:
                    self._fixed[lane, _CONTINUOUS[part]] = True
            if "levels" in one.fixed:
                self._chosen[lane, 0] = self.settings.levels
            if "stance" in one.fixed:
                self._chosen[lane, 1] = HOLD
        self._together = np.array([one.member is None and not one.foresight and not one.told for one in self.listed])
        self._alone = [Policy(policy.spaces, (one,), policy.frames, policy.activation) for one in policy.members]
        self._past: deque[tuple[F32, I64]] = deque(maxlen=LATE_BY + 1)

    def show(self, seen: F32) -> F32:
        """The state without what is hidden."""
        return seen * self._shown

    def choose(self, looked: F32, decision: int) -> tuple[F32, I64]:
        """What every lane does."""
        lanes = len(self.listed)
        continuous: F32 = np.zeros((lanes, 3), np.float32)
        discrete: I64 = np.zeros((lanes, 2), np.int64)
        continuous[self._together], discrete[self._together] = self.policy.act(looked[self._together])
        self._past.append((continuous[0].copy(), discrete[0].copy()))
        for lane, one in enumerate(self.listed):
            if one.member is not None:
                alone = self._alone[one.member].act(looked[lane : lane + 1])
                continuous[lane], discrete[lane] = alone[0][0], alone[1][0]
            elif one.late:
                continuous[lane], discrete[lane] = self._past[max(0, len(self._past) - 1 - one.late)]
            elif one.foresight:
                continuous[lane], discrete[lane] = self._foresee(decision)
            elif one.told is not None:
                state = looked[lane, -self.policy.spaces.observation :]  # the newest frame
                done = one.told.act(state, self._move(decision))
                continuous[lane], discrete[lane] = done[0][0], done[1][0]
        continuous[self._fixed] = 0.0
        return continuous, np.where(self._chosen == _FREE, discrete, self._chosen)

    def _move(self, decision: int) -> float:
        return float(self.future[decision]) if decision < len(self.future) else 0.0

    def _foresee(self, decision: int) -> tuple[Any, Any]:
        """Quote closely on the side that the next move pays, on both where the mid ends where it was: it comes back."""
        if decision >= len(self.future):
            return (0.0, 0.0, 0.0), (0, HOLD)
        side = int(np.sign(self._move(decision)))
        return (-1.0, float(side), -1.0), (self.settings.levels, HOLD + 2 * side)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a panel did over one tape at one fee.

    Attributes
    ----------
    fee_bp
        Maker fee, basis points.
    changes
        Equity change of every cycle after the warm-up in basis points of what the largest allowed position was worth
        at the first mid, float64 (cycles, lanes).
    worth
        That worth, quote.
    result
        The backtest.
    panel
        What was seen and done.
    """

    fee_bp: float
    changes: F64
    worth: float
    result: BacktestResult
    panel: Panel

    def traded(self) -> F64:
        """What the trades of each cycle earned by its end, like ``changes``: those less what was held before.

        Whoever knows one move knows nothing of what an inventory does later; on a market of few trades that alone
        moves equity several times as much as the trades.
        """
        assert self.result.equity_values is not None
        settings, panel = self.panel.settings, self.panel
        count = min(len(self.changes), len(panel.observations))
        if not count or not self.worth > 0.0:
            return self.changes
        share = settings.limits.max_position_share or 1.0  # exposure is over what is allowed, else over equity
        shares: F64 = np.stack(panel.observations)[:count, :, NAMES.index("risk_exposure")].astype(np.float64)
        exposure = shares * share * self.result.equity_values[settings.warm_up :][:count]
        mids = np.array(panel.mids)[settings.warm_up :][:count, None]
        moves = moves_of(panel.mids)[settings.warm_up :][:count, None]
        found = self.changes.copy()
        found[:count] -= (
            1e4 / self.worth * exposure * np.divide(moves, mids, out=np.zeros_like(moves), where=mids > 0.0)
        )
        return found


def run_panel(
    tape: Tape, policy: Policy, listed: list[Contender], fees: tuple[str, str], future: F64 | None = None
) -> Seen:
    """Run contenders over a tape.

    Parameters
    ----------
    fees
        Maker and taker rate.
    future
        See :class:`Panel`.

    Raises
    ------
    UsageError
        If the policy did not learn on tapes, or a value is out of range.
    """
    settings = settings_of(policy)
    panel = Panel(policy, settings, listed=listed, future=np.zeros(0) if future is None else future)
    levels = np.full(len(listed), float(settings.levels))
    result = backtest(
        tape,
        settings.strategy,
        {**settings.rule, "levels": levels, "base_quantity": 0.0, "max_position": 0.0},
        **settings.terms,
        fees=fees,
        record_equity=True,
        record_fills=False,
        by=panel,
    )
    assert result.equity_values is not None
    first = next((mid for mid in panel.mids if mid > 0.0), 1.0)
    worth = panel.sizes[1] * first
    changes = np.diff(result.equity_values, axis=0)[settings.warm_up :]
    return Seen(1e4 * float(fees[0]), changes * (1e4 / worth if worth > 0.0 else 0.0), worth, result, panel)


def moves_of(mids: list[float]) -> F64:
    """By how much the mid moves from every decision to the next; 0 at the last one and where a mid is missing."""
    values = np.array([*mids, mids[-1]] if mids else [], np.float64)
    moves = np.diff(values)
    return np.where((values[:-1] > 0.0) & (values[1:] > 0.0), moves, 0.0) if len(moves) else moves
