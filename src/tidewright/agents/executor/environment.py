"""What a learner and an environment agree on: many lanes stepped at once, hybrid actions, ends of two kinds."""

import math
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from tidewright.market.errors import UsageError

F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]


def require_numbers(actions: F32) -> None:
    """Refuse actions that are NaN, which every clip lets pass; what is too large is clipped.

    Parameters
    ----------
    actions
        Shape (lanes, numbers).

    Raises
    ------
    UsageError
        If one is.
    """
    if math.isnan(float(np.vdot(actions, actions))):  # a sum of squares is NaN just if one of them is
        lane = int(np.isnan(actions).any(axis=1).argmax())
        raise UsageError(f"an action must be numbers, that of lane {lane} is {actions[lane].tolist()}")


class Spaces(NamedTuple):
    """Sizes of what goes in and out.

    Attributes
    ----------
    observation
        Numbers of an observation, each about [-1, 1].
    continuous
        Numbers of the continuous part of an action, each clipped to [-1, 1] by the environment.
    discrete
        Choices of each discrete part; a part is an int64 from 0 up to that.
    """

    observation: int
    continuous: int
    discrete: tuple[int, ...]


class Step(NamedTuple):
    """What one step of all lanes gave.

    Attributes
    ----------
    observation
        Shape (lanes, observation), float32: of a lane that ended, the first of its next episode.
    reward
        Shape (lanes,), float32.
    terminated, truncated
        Shape (lanes,): the episode ended by the problem's own rules (nothing comes after, its value is 0), or was cut
        (what would have come has a value). Never both.
    last
        Shape (lanes, observation), float32: the observation the step led to; differs from ``observation`` where an
        episode ended.
    terms
        Parts of the reward by name, each (lanes,), float32, for the log.
    """

    observation: F32
    reward: F32
    terminated: Bool
    truncated: Bool
    last: F32
    terms: dict[str, F32]


class VectorEnvironment(Protocol):
    """Many lanes, one step at a time; a lane that ended begins anew by itself."""

    @property
    def lanes(self) -> int:
        """How many."""
        ...

    @property
    def spaces(self) -> Spaces:
        """Sizes of observations and actions."""
        ...

    def reset(self, seed: int | None = None) -> F32:
        """Begin all lanes anew; the first observations, (lanes, observation) float32.

        Parameters
        ----------
        seed
            Start of the random numbers; ``None``: go on with those there are.
        """
        ...

    def step(self, continuous: F32, discrete: I64) -> Step:
        """Take one action a lane.

        Parameters
        ----------
        continuous
            Shape (lanes, continuous), float32.
        discrete
            Shape (lanes, parts), int64.

        Raises
        ------
        UsageError
            If an action is NaN.
        """
        ...
