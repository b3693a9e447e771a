"""A training as a whole: several seeds one after the other, checkpoints, logs, and the ensemble that comes of it."""

import csv
import importlib.util
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch

from tidewright.agents.executor.environment import VectorEnvironment
from tidewright.agents.executor.learning.ppo import Learner, Round, Settings
from tidewright.agents.executor.policy import Policy, ensemble
from tidewright.market.errors import DataError, UsageError

EVERY: Final = 10  # rounds between checkpoints
IMITATED: Final = 0.6  # chance of the base rule's own choices at first

Tell = Callable[[int, Round], None]


def train(
    make: Callable[[int], VectorEnvironment],
    settings: Settings,
    seeds: Sequence[int],
    folder: Path,
    header: Mapping[str, Any],
    imitate: tuple[int, ...] | None = None,
    device: str = "auto",
    tell: Tell | None = None,
) -> Policy:
    """Learn with every seed and make one policy of all.

    Parameters
    ----------
    make
        An environment for a seed.
    folder
        Where checkpoints (``seed-N.pt``) and logs (``seed-N.csv``, and TensorBoard's where it is installed) are kept. A
        second call goes on where the first stopped.
    header
        What the policy's file says of the training.
    imitate
        Discrete parts of an action to begin with.
    tell
        Called after every round with the seed.

    Raises
    ------
    UsageError
        If the folder holds a training with other settings or data.
    """
    if not seeds:
        raise UsageError("a training needs at least one seed")
    folder.mkdir(parents=True, exist_ok=True)
    made = {**header, "learner": settings.to_json(), "imitate": list(imitate or ())}
    _claim(folder / "training.json", {name: made[name] for name in made if name not in ("command", "seeds", "version")})
    members = []
    for seed in seeds:
        learner = Learner(make(seed), settings, seed, device)
        if imitate is not None:
            learner.imitate(imitate, IMITATED)
        _learn(learner, folder, seed, tell)
        members.append(learner.policy())
        close = getattr(learner.environment, "close", None)
        if close is not None:
            close()
    return ensemble(members, {**made, "seeds": list(seeds)})


def _claim(path: Path, made: dict[str, Any]) -> None:
    """Write down what is trained here, or refuse to mix it with something else."""
    text = json.dumps(made, sort_keys=True, indent=1)
    if not path.is_file():
        _replace(path, text.encode())
    elif path.read_text("utf-8") != text:
        raise UsageError(f"{path.parent} holds a training with other settings or data; give another --work folder")


def _learn(learner: Learner, folder: Path, seed: int, tell: Tell | None) -> None:
    checkpoint, log = folder / f"seed-{seed}.pt", folder / f"seed-{seed}.csv"
    if checkpoint.is_file():
        try:
            state = torch.load(checkpoint, weights_only=True, map_location=learner.device)
        except (RuntimeError, OSError, EOFError) as error:
            raise DataError(f"{checkpoint} cannot be read ({error}); delete it to begin this seed anew") from None
        learner.resume(state)
    kept = _logged(log, learner.iteration)
    board = _board(folder / f"seed-{seed}")
    with log.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerows(kept)
        while learner.iteration < learner.settings.iterations:
            done = learner.iterate()
            row = {**done._asdict(), **{f"reward_{name}": value for name, value in done.terms.items()}}
            del row["terms"]
            if not kept:
                kept.append(list(row))
                writer.writerow(row)
            writer.writerow(row.values())
            file.flush()
            if board is not None:
                for name, value in row.items():
                    board.add_scalar(name, value, done.steps)
            if done.iteration % EVERY == 0 or done.iteration == learner.settings.iterations:
                draft = checkpoint.with_suffix(".draft")
                torch.save(learner.state(), draft)
                os.replace(draft, checkpoint)
            if tell is not None:
                tell(seed, done)
    if board is not None:
        board.close()


def _logged(log: Path, rounds: int) -> list[list[str]]:
    """Rows of a log up to a round, with its head; nothing if there are none."""
    if rounds == 0 or not log.is_file():
        return []
    with log.open(newline="", encoding="utf-8") as file:
        return [row for index, row in enumerate(csv.reader(file)) if index <= rounds]


def _board(folder: Path) -> Any:
    """TensorBoard's writer, where it is installed."""
    if importlib.util.find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder))  # type: ignore[no-untyped-call]


def _replace(path: Path, data: bytes) -> None:
    draft = path.with_name(f".{path.name}.draft")
    draft.write_bytes(data)
    os.replace(draft, path)
