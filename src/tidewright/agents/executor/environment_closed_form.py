"""Market making with a known optimum: the environment a learner is graded in before it sees a market.

Notes
-----
The mid is a random walk, quotes are filled with probability ``intensity * dt * exp(-kappa * distance)`` a step, at most
one on each side, and what is maximised is the expectation of

``X_T + q_T S_T - terminal_penalty * q_T^2 - running_penalty * sum of q_t^2 dt``,

M. Avellaneda, S. Stoikov, Quantitative Finance 8(3), 2008, with the inventory penalties of A. Cartea, S. Jaimungal,
J. Penalva, "Algorithmic and High-Frequency Trading", 2015, chapter 10. The steps are those of J. Jerome et al.,
"Mbt-gym", ICAIF 2023, so that exact dynamic programming (``tests/reference/market_making_dp.py``) gives the best
any policy can do in this very environment.
"""

from dataclasses import dataclass

import numpy as np

from tidewright.agents.executor.environment import F32, I64, Bool, Spaces, Step, require_numbers
from tidewright.market.errors import UsageError
from tidewright.market.tape import F64


@dataclass(frozen=True, slots=True)
class ClosedFormMarket:
    """Parameters of the market and the objective.

    Attributes
    ----------
    sigma
        Deviation of the mid over a unit of time, price.
    intensity
        Fills a unit of time of a quote at the mid.
    kappa
        Decay of fills with distance, 1 / price.
    running_penalty, terminal_penalty
        Of the squared inventory, price: over a unit of time and at the end.
    horizon, steps
        Length of an episode in units of time and in steps.
    max_inventory
        Nothing is bid from here up, nothing offered from its negative down.
    furthest
        Greatest distance of a quote from the mid, price; the least is 0.
    """

    sigma: float = 2.0
    intensity: float = 140.0
    kappa: float = 1.5
    running_penalty: float = 0.2
    terminal_penalty: float = 0.01
    horizon: float = 1.0
    steps: int = 200
    max_inventory: int = 12
    furthest: float = 2.0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.max_inventory < 1:
            raise UsageError(f"steps and max_inventory must be >= 1, were {self.steps}, {self.max_inventory}")
        for name in ("intensity", "kappa", "horizon", "furthest"):
            if not getattr(self, name) > 0.0:
                raise UsageError(f"{name} must be > 0, was {getattr(self, name)}")
        if self.intensity * self.horizon / self.steps > 1.0:
            least = int(np.ceil(self.intensity * self.horizon))
            raise UsageError(
                f"a fill must be a probability: intensity * horizon / steps must be <= 1, was "
                f"{self.intensity * self.horizon / self.steps:g}; {least} steps are enough"
            )

    @property
    def dt(self) -> float:
        """Length of a step."""
        return self.horizon / self.steps

    def distances(self, continuous: F32) -> F64:
        """Distances of bid and ask from the mid of actions in [-1, 1], price, float64 of the same shape."""
        return 0.5 * self.furthest * (np.clip(np.asarray(continuous, np.float64), -1.0, 1.0) + 1.0)

    def observe(self, inventory: F64, step: int | F64) -> F32:
        """Observations (n, 2) float32: inventory and time left, each over its range to [-1, 1]."""
        left = 1.0 - 2.0 * np.asarray(step, np.float64) / self.steps
        return np.stack(np.broadcast_arrays(inventory / self.max_inventory, left), axis=-1).astype(np.float32)


class ClosedFormEnvironment:
    """Many independent market makers in the closed-form market; all episodes begin and end together.

    Parameters
    ----------
    lanes
        How many.
    market
        What they trade in.
    seed
        Of the random numbers.
    """

    def __init__(self, lanes: int, market: ClosedFormMarket | None = None, seed: int = 0) -> None:
        if lanes < 1:
            raise UsageError(f"lanes must be >= 1, was {lanes}")
        self.market = market or ClosedFormMarket()
        self._lanes = lanes
        self._random = np.random.default_rng(seed)
        self._step = 0
        self._inventory: F64 = np.zeros(lanes)

    @property
    def lanes(self) -> int:
        """How many."""
        return self._lanes

    @property
    def spaces(self) -> Spaces:
        """Inventory and time; distances of bid and ask."""
        return Spaces(2, 2, ())

    def reset(self, seed: int | None = None) -> F32:
        """Flat, at the start."""
        if seed is not None:
            self._random = np.random.default_rng(seed)
        self._step = 0
        self._inventory = np.zeros(self._lanes)
        return self.market.observe(self._inventory, 0)

    def step(self, continuous: F32, discrete: I64) -> Step:
        """Quote for one step.

        The penalty is of the inventory held when the step begins, and the mid moves with what is held when it ends.
        """
        require_numbers(continuous)
        market, held = self.market, self._inventory
        distance = market.distances(continuous)
        chance = market.intensity * market.dt * np.exp(-market.kappa * distance)
        filled = self._random.random((self._lanes, 2)) < chance
        filled[:, 0] &= held < market.max_inventory
        filled[:, 1] &= held > -market.max_inventory
        earned = (filled * distance).sum(axis=1)
        after = held + filled[:, 0] - filled[:, 1]
        moved = market.sigma * np.sqrt(market.dt) * self._random.standard_normal(self._lanes)
        self._step += 1
        over = self._step == market.steps
        penalty = market.running_penalty * market.dt * held * held
        if over:
            penalty = penalty + market.terminal_penalty * after * after
        pnl = earned + after * moved
        last = market.observe(after, self._step)
        self._inventory = after
        first = self.reset() if over else last
        ended: Bool = np.full(self._lanes, over)
        terms = {"pnl": pnl.astype(np.float32), "risk": (-penalty).astype(np.float32)}
        reward = (pnl - penalty).astype(np.float32)
        return Step(first, reward, ended, np.zeros(self._lanes, np.bool_), last, terms)
