"""The environments in Gymnasium's form, so that any learner can be used; needs the extra ``learn``."""

from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.agents.executor.environment import F32, I64, Spaces, VectorEnvironment, require_numbers
from tidewright.agents.executor.environment_closed_form import ClosedFormEnvironment, ClosedFormMarket
from tidewright.agents.executor.environment_tape import TapeEnvironment, TapeSettings
from tidewright.market.errors import UsageError
from tidewright.market.tape import Tape

try:
    import gymnasium
    from gymnasium import spaces
    from gymnasium.vector import AutoresetMode
    from gymnasium.vector.utils import batch_space
except ModuleNotFoundError:
    raise UsageError("Gymnasium environments need gymnasium: pip install 'tidewright[learn]'") from None

Action = Any


def observation_space(sizes: Spaces) -> spaces.Space[Any]:
    """Numbers in [-1, 1]."""
    return spaces.Box(-1.0, 1.0, (sizes.observation,), np.float32)


def action_space(sizes: Spaces, hybrid: bool) -> spaces.Space[Any]:
    """Where actions come from.

    Parameters
    ----------
    hybrid
        True: a dictionary of ``continuous`` and ``discrete``; False: one box in [-1, 1], in which each discrete part
        is a number whose range is cut into as many equal parts as there are choices, for learners that know no other.
    """
    if not hybrid:
        return spaces.Box(-1.0, 1.0, (sizes.continuous + len(sizes.discrete),), np.float32)
    parts: dict[str, spaces.Space[Any]] = {"continuous": spaces.Box(-1.0, 1.0, (sizes.continuous,), np.float32)}
    if sizes.discrete:
        parts["discrete"] = spaces.MultiDiscrete(list(sizes.discrete))
    return spaces.Dict(parts)


def unpack(sizes: Spaces, action: Action, lanes: int) -> tuple[F32, I64]:
    """Continuous (lanes, n) and discrete (lanes, parts) of actions of either form.

    Raises
    ------
    UsageError
        If one is NaN, which is no choice of a discrete part.
    """
    if isinstance(action, dict):
        continuous = np.asarray(action["continuous"], np.float32).reshape(lanes, sizes.continuous)
        discrete = np.asarray(action.get("discrete", ()), np.int64).reshape(lanes, len(sizes.discrete))
        return continuous, discrete
    flat = np.asarray(action, np.float32).reshape(lanes, -1)
    require_numbers(flat)
    chosen = np.zeros((lanes, len(sizes.discrete)), np.int64)
    for index, choices in enumerate(sizes.discrete):
        place = (flat[:, sizes.continuous + index].astype(np.float64) + 1.0) / 2.0
        chosen[:, index] = np.clip(np.floor(place * choices), 0, choices - 1)
    return flat[:, : sizes.continuous], chosen


class LaneEnv(gymnasium.Env[F32, Action]):
    """One lane of an environment.

    Parameters
    ----------
    environment
        Of one lane.
    hybrid
        The form of actions, see :func:`action_space`.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 (Gymnasium's own declaration)

    def __init__(self, environment: VectorEnvironment, hybrid: bool = False) -> None:
        if environment.lanes != 1:
            raise UsageError(f"an environment of one lane is needed, this one has {environment.lanes}")
        self.environment = environment
        self.observation_space = observation_space(environment.spaces)
        self.action_space = action_space(environment.spaces, hybrid)
        self.render_mode = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[F32, dict[str, Any]]:
        """Begin an episode."""
        super().reset(seed=seed)
        return self.environment.reset(seed)[0], {}

    def step(self, action: Action) -> tuple[F32, float, bool, bool, dict[str, Any]]:
        """Take one action; ``info`` holds the parts of the reward."""
        step = self.environment.step(*unpack(self.environment.spaces, action, 1))
        terms = {name: float(values[0]) for name, values in step.terms.items()}
        return step.last[0], float(step.reward[0]), bool(step.terminated[0]), bool(step.truncated[0]), terms


class TapeEnv(LaneEnv):
    """One market maker on tapes; see :class:`tidewright.agents.executor.environment_tape.TapeEnvironment`."""

    def __init__(
        self, tapes: list[Tape], settings: TapeSettings | None = None, seed: int = 0, hybrid: bool = False
    ) -> None:
        super().__init__(TapeEnvironment(tapes, 1, 1, settings, seed), hybrid)


class ClosedFormEnv(LaneEnv):
    """One market maker in the closed-form market."""

    def __init__(self, market: ClosedFormMarket | None = None, seed: int = 0, hybrid: bool = False) -> None:
        super().__init__(ClosedFormEnvironment(1, market, seed), hybrid)


class VectorEnv(gymnasium.vector.VectorEnv[F32, Action, npt.NDArray[Any]]):
    """All lanes of an environment; one that ended begins anew in the same step, ``info["final_obs"]`` has its last.

    Parameters
    ----------
    environment
        Of any number of lanes.
    hybrid
        The form of actions, see :func:`action_space`.
    """

    def __init__(self, environment: VectorEnvironment, hybrid: bool = False) -> None:
        self.environment = environment
        self.num_envs = environment.lanes
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": []}
        self.single_observation_space = observation_space(environment.spaces)
        self.single_action_space = action_space(environment.spaces, hybrid)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[F32, dict[str, Any]]:
        """Begin everywhere; of several seeds the first counts for all."""
        chosen = seed[0] if isinstance(seed, list) else seed
        return self.environment.reset(chosen), {}

    def step(self, actions: Action) -> tuple[F32, npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any], dict[str, Any]]:
        """Take one action a lane."""
        step = self.environment.step(*unpack(self.environment.spaces, actions, self.num_envs))
        info: dict[str, Any] = dict(step.terms)
        ended = step.terminated | step.truncated
        if ended.any():
            info["final_obs"], info["_final_obs"] = step.last, ended
        return step.observation, step.reward, step.terminated, step.truncated, info


__all__ = ["ClosedFormEnv", "LaneEnv", "TapeEnv", "VectorEnv", "action_space", "observation_space", "unpack"]
