"""A learned policy as a file and as a function: trained with torch, evaluated with numpy alone.

A file is a zip of arrays (numpy's ``npz``) with a JSON header that says what the policy is for, how it was made and
with which command, so that it can be made again and be refused where it does not belong.
"""

import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from tidewright.agents.executor.environment import F32, I64, Spaces
from tidewright.market.errors import DataError, NotFoundError, UsageError

FORMAT: Final = 1
ACTIVATIONS: Final = ("relu", "tanh")
_NO_POLICY: Final = (
    "is not a policy: not a whole file of arrays with a header, as `tidewright train` and `tidewright evolve` write"
)


class Network(NamedTuple):
    """A fully connected network: the mean of the continuous parts, then the logits of each discrete one.

    Attributes
    ----------
    weights
        Shape (outputs, inputs) each, float32, as torch keeps them.
    biases
        Shape (outputs,) each, float32.
    """

    weights: tuple[F32, ...]
    biases: tuple[F32, ...]

    def outputs(self, inputs: F32, activation: str) -> F32:
        """Outputs (n, outputs) float32 of inputs (n, inputs)."""
        values = inputs
        for index, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            values = values @ weight.T + bias
            if index + 1 < len(self.weights):
                values = np.maximum(values, np.float32(0.0)) if activation == "relu" else np.tanh(values)
        return values

    def defined(self, activation: str) -> bool:
        """Whether the outputs are numbers whatever the inputs in [-1, 1]: no weight is NaN, infinite or too large."""
        most = np.ones(self.weights[0].shape[1], np.float32)  # how far from 0 each value can be
        with np.errstate(over="ignore", invalid="ignore"):
            for weight, bias in zip(self.weights, self.biases, strict=True):
                reached = np.abs(weight) @ most + np.abs(bias)
                if not np.isfinite(reached).all():
                    return False
                most = np.minimum(reached, np.float32(1.0)) if activation == "tanh" else reached
        return True


@dataclass(frozen=True, slots=True)
class Policy:
    """What to do in a state; the same numbers for the same state, nothing random.

    Attributes
    ----------
    spaces
        Sizes of one observation and of an action.
    frames
        Newest observations that are looked at together, oldest first.
    activation
        Of the hidden layers.
    members
        Networks of an ensemble: continuous parts are averaged, of a discrete one the likeliest choice is taken.
    header
        How it was made: what the file says beside the above.
    """

    spaces: Spaces
    members: tuple[Network, ...]
    frames: int = 1
    activation: str = "relu"
    header: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise UsageError(f"activation must be one of {', '.join(ACTIVATIONS)}, was {self.activation!r}")
        if not self.members:
            raise DataError("a policy needs at least one network")
        inputs = self.spaces.observation * self.frames
        outputs = self.spaces.continuous + sum(self.spaces.discrete)
        for number, network in enumerate(self.members, 1):
            sizes = (network.weights[0].shape[1], network.weights[-1].shape[0])
            if sizes != (inputs, outputs):
                raise DataError(f"a policy of {inputs} inputs and {outputs} outputs has a network of {sizes}")
            if not network.defined(self.activation):
                raise DataError(
                    f"weights of network {number} of {len(self.members)} are NaN, infinite or too large: "
                    "what it does is not defined"
                )

    def act(self, observation: F32) -> tuple[F32, I64]:
        """Actions of states.

        Parameters
        ----------
        observation
            Shape (n, observation * frames), float32.

        Returns
        -------
        tuple[F32, I64]
            Continuous parts (n, continuous) in [-1, 1] and discrete ones (n, parts).
        """
        count = self.spaces.continuous
        continuous = np.zeros((len(observation), count), np.float32)
        chances = [np.zeros((len(observation), choices), np.float32) for choices in self.spaces.discrete]
        for network in self.members:
            outputs = network.outputs(observation, self.activation)
            continuous += outputs[:, :count]
            at = count
            for total, choices in zip(chances, self.spaces.discrete, strict=True):
                logits = outputs[:, at : at + choices]
                odds = np.exp(logits - logits.max(axis=1, keepdims=True))
                total += odds / odds.sum(axis=1, keepdims=True)
                at += choices
        discrete = np.zeros((len(observation), len(chances)), np.int64)
        for index, total in enumerate(chances):
            discrete[:, index] = total.argmax(axis=1)
        return np.clip(continuous / np.float32(len(self.members)), -1.0, 1.0), discrete

    def save(self, path: Path) -> None:
        """Write the file; a reader sees the old one or the whole new one."""
        header = {
            **self.header,
            "format": FORMAT,
            "observation": self.spaces.observation,
            "continuous": self.spaces.continuous,
            "discrete": list(self.spaces.discrete),
            "frames": self.frames,
            "activation": self.activation,
            "members": len(self.members),
            "layers": len(self.members[0].weights),
        }
        text = json.dumps(header, sort_keys=True).encode()
        arrays: dict[str, Any] = {"header": np.frombuffer(text, np.uint8)}
        for member, network in enumerate(self.members):
            for layer, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
                arrays[f"{member}.{layer}.weight"] = np.asarray(weight, "<f4")
                arrays[f"{member}.{layer}.bias"] = np.asarray(bias, "<f4")
        buffer = BytesIO()
        np.savez(buffer, **arrays)
        draft = path.with_name(f".{path.name}.draft")
        draft.write_bytes(buffer.getvalue())
        os.replace(draft, path)

    @classmethod
    def load(cls, path: Path) -> "Policy":
        """Policy of a file.

        Raises
        ------
        NotFoundError
            If there is no such file.
        DataError
            If it is not a policy of this format.
        """
        if not path.is_file():
            raise NotFoundError(f"there is no policy {path}; `tidewright train --out {path}` makes one")
        if not zipfile.is_zipfile(path):  # numpy would take other files for arrays of another kind
            raise DataError(f"{path} {_NO_POLICY}")
        try:
            with np.load(path, allow_pickle=False) as arrays:
                header = json.loads(bytes(arrays["header"]))
                if header["format"] != FORMAT:
                    raise DataError(f"it has format {header['format']}, this version reads {FORMAT}")
                members = tuple(
                    Network(
                        tuple(np.asarray(arrays[f"{m}.{k}.weight"], np.float32) for k in range(header["layers"])),
                        tuple(np.asarray(arrays[f"{m}.{k}.bias"], np.float32) for k in range(header["layers"])),
                    )
                    for m in range(header["members"])
                )
                spaces = Spaces(header["observation"], header["continuous"], tuple(header["discrete"]))
                return cls(spaces, members, header["frames"], header["activation"], header)
        except DataError as error:
            raise DataError(f"policy {path} cannot be used: {error}") from None
        except (zipfile.BadZipFile, LookupError, TypeError, ValueError, OSError, EOFError):
            # What numpy says of a file that is none of its own tells of pickles, and helps nobody.
            raise DataError(f"{path} {_NO_POLICY}") from None


def ensemble(policies: Sequence[Policy], header: Mapping[str, Any] | None = None) -> Policy:
    """One policy of several of the same form.

    Raises
    ------
    UsageError
        If there are none, or their forms differ.
    """
    if not policies:
        raise UsageError("an ensemble needs at least one policy")
    first = policies[0]
    for other in policies:
        if (other.spaces, other.frames, other.activation) != (first.spaces, first.frames, first.activation):
            raise UsageError("policies of an ensemble must have the same observations, actions, frames and activation")
    members = tuple(network for policy in policies for network in policy.members)
    return Policy(first.spaces, members, first.frames, first.activation, header or first.header)


class Frames:
    """The newest observations of every lane side by side, oldest first; an episode begins with its first one repeated.

    Parameters
    ----------
    count
        How many.
    """

    def __init__(self, count: int) -> None:
        if count < 1:
            raise UsageError(f"frames must be >= 1, was {count}")
        self.count = count
        self._rows: F32 = np.zeros((0, 0), np.float32)

    def begin(self, observation: F32) -> F32:
        """The first observations of all lanes, (n, size): what is looked at, (n, size * count)."""
        self._rows = np.tile(observation, (1, self.count))
        return self._rows

    def push(self, observation: F32, last: F32, ended: Any) -> tuple[F32, F32]:
        """The next observations.

        Parameters
        ----------
        observation, last, ended
            As in :class:`tidewright.agents.executor.environment.Step`.

        Returns
        -------
        tuple[F32, F32]
            What is looked at next, and what the step led to.
        """
        size = observation.shape[1]
        led = np.concatenate((self._rows[:, size:], last), axis=1) if self.count > 1 else last
        if self.count == 1:
            self._rows = observation
        elif np.any(ended):
            self._rows = np.where(np.asarray(ended)[:, None], np.tile(observation, (1, self.count)), led)
        else:
            self._rows = led
        return self._rows, led
