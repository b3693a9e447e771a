"""The executor's seat: a learned policy that shapes a strategy's quotes, or its base rule alone.

numpy only. What a policy sees is made by :mod:`tidewright.agents.executor.state`, what it does is written into the
rule's parameters by the function that training uses, :func:`tidewright.agents.executor.environment_kernel.shape`.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from tidewright.agents.executor import environment_kernel as kernel
from tidewright.agents.executor.environment import F32, Bool
from tidewright.agents.executor.environment_tape import STRATEGY, TapeSettings
from tidewright.agents.executor.policy import Frames, Policy
from tidewright.agents.executor.policy_run import settings_of
from tidewright.market.errors import DataError
from tidewright.market.tape import F64

BASE: Final = "base"  # the name of the base rule's chair: nobody shapes its quotes
STANCES: Final = ("strong sell", "sell", "hold", "buy", "strong buy")
_ENDED: Final[Bool] = np.zeros(1, np.bool_)


class Action(NamedTuple):
    """What a policy does at one decision.

    Attributes
    ----------
    continuous
        Spread, skew, level spacing, each in [-1, 1]; 0 is the base rule's.
    discrete
        Levels, and stance from 0 (strong sell) over 2 (hold) to 4 (strong buy).
    """

    continuous: tuple[float, ...]
    discrete: tuple[int, ...]

    def words(self) -> str:
        """For people: ``hold, 2 levels, spread x1.40, skew +0.10``."""
        levels, stance = self.discrete
        if levels == 0:
            return f"stands aside ({STANCES[stance]})"
        count = f"{levels} level" if levels == 1 else f"{levels} levels"
        return (
            f"{STANCES[stance]}, {count}, spread x{kernel.WIDEST ** self.continuous[0]:.2f}, "
            f"skew {self.continuous[1]:+.2f}"
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values; the floats are float32 numbers."""
        return {"continuous": list(self.continuous), "discrete": list(self.discrete)}


@dataclass(frozen=True, slots=True)
class Sitter:
    """Who may sit: a policy with its file, or the base rule.

    Attributes
    ----------
    name
        File's name without suffix, or ``"base"``.
    policy
        ``None``: the base rule, unshaped.
    settings
        What it learned with; of the base rule ``None``.
    path, sha256
        Of its file; empty for the base rule.
    """

    name: str = BASE
    policy: Policy | None = None
    settings: TapeSettings | None = None
    path: str = ""
    sha256: str = ""

    @classmethod
    def load(cls, path: Path) -> "Sitter":
        """Sitter of a policy's file.

        Raises
        ------
        NotFoundError, DataError
            If there is no such file, or it is no policy.
        UsageError
            If it did not learn on tapes.
        """
        policy = Policy.load(path)
        return cls(path.stem, policy, settings_of(policy), str(path.resolve()), file_hash(path))

    @classmethod
    def of(cls, reference: Mapping[str, Any]) -> "Sitter":
        """Sitter of a reference, as messages carry it.

        Raises
        ------
        NotFoundError, DataError, UsageError
            As :meth:`load`, and if the file is not the one that was meant.
        """
        if not reference.get("path"):
            return cls()
        path = Path(str(reference["path"]))
        found = cls.load(path)
        if found.sha256 != reference["sha256"]:
            raise DataError(f"policy {path} is another one: its SHA-256 is {found.sha256}, not {reference['sha256']}")
        return Sitter(str(reference.get("name") or found.name), found.policy, found.settings, found.path, found.sha256)

    @property
    def strategy(self) -> str:
        """What it steers."""
        return STRATEGY if self.settings is None else self.settings.strategy

    @property
    def version(self) -> str:
        """First digits of the file's SHA-256, and the version of the program that made it."""
        if self.policy is None:
            return ""
        return f"{self.sha256[:12]}, made by {self.policy.header.get('version', 'an unknown version')}"

    def reference(self) -> dict[str, str]:
        """For messages and journal: name, path and SHA-256."""
        return {"name": self.name, "path": self.path, "sha256": self.sha256}


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Seat:
    """Steers one lane: :class:`tidewright.agents.executor.executor.Pilot`.

    Attributes
    ----------
    sitter
        Who sits.
    newest
        The newest action; ``None`` before the first, and of the base rule.
    """

    def __init__(self, sitter: Sitter) -> None:
        self.sit(sitter)

    def sit(self, sitter: Sitter) -> None:
        """Let somebody else sit from the next decision on."""
        self.sitter = sitter
        self.newest: Action | None = None
        self._frames = Frames(sitter.policy.frames if sitter.policy is not None else 1)
        self._seen: F32 | None = None

    def see(self, state: F64) -> F32:
        """Take in a state, shape (8,) float64; what the policy looks at, (1, 8 * frames) float32."""
        observation = np.asarray(state, np.float32)[None, :]
        if self._seen is None:
            self._seen = observation
            return self._frames.begin(observation)
        self._seen = observation
        return self._frames.push(observation, observation, _ENDED)[0]

    def wait(self) -> None:
        """A decision time at which the book is not whole: what was seen last stays."""
        if self._seen is not None:
            self._frames.push(self._seen, self._seen, _ENDED)

    def recall(self, state: Sequence[float]) -> None:
        """Take in a state of before a restart."""
        if self._frames.count > 1:
            self.see(np.array(state, np.float64))

    def act(self, state: F64) -> Action | None:
        """The policy's action in a state; ``None``: the base rule sits."""
        looked = self.see(state)
        if self.sitter.policy is None:
            return None
        continuous, discrete = self.sitter.policy.act(looked)
        return Action(tuple(continuous[0].tolist()), tuple(discrete[0].tolist()))

    def steer(self, state: F64, row: F64) -> F64:
        """Parameters of this decision: the row shaped by the action."""
        self.newest = action = self.act(state)
        if action is None or self.sitter.settings is None:
            return row
        shaped = row.copy()
        write(action, shaped, self.sitter.settings.levels)
        return shaped


def write(action: Action, row: F64, levels: int) -> None:
    """Write an action into a parameter row."""
    kernel.shape(row, np.array(action.continuous, np.float32), np.array(action.discrete, np.int64), levels)
