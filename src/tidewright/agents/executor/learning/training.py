"""A training as a whole: several seeds one after the other, checkpoints, logs, and the ensemble that comes of it."""

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Final

import torch

from tidewright.agents.executor.environment import VectorEnvironment
from tidewright.agents.executor.learning.folder import Log, claim, write
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
    made = {**header, "learner": settings.to_json(), "imitate": list(imitate or ())}
    members = []
    for seed in seeds:
        environment = make(seed)
        try:
            learner = Learner(environment, settings, seed, device)
            claim(folder, made)  # not before it can begin: a call that is refused leaves nothing behind
            if imitate is not None:
                learner.imitate(imitate, IMITATED)
            _learn(learner, folder, seed, tell)
            members.append(learner.policy())
        finally:
            close = getattr(environment, "close", None)
            if close is not None:
                close()
    return ensemble(members, {**made, "seeds": list(seeds)})


def _learn(learner: Learner, folder: Path, seed: int, tell: Tell | None) -> None:
    checkpoint = folder / f"seed-{seed}.pt"
    if checkpoint.is_file():
        try:
            # To the processor: a generator's state is bytes there, whatever it draws on; the learner moves the rest.
            state = torch.load(checkpoint, weights_only=True, map_location="cpu")
        except (RuntimeError, OSError, EOFError, UnpicklingError):
            raise DataError(f"{checkpoint} cannot be read; delete it to begin this seed anew") from None
        learner.resume(state)
    board = _board(folder / f"seed-{seed}")
    with Log(folder / f"seed-{seed}.csv", learner.iteration) as log:
        while learner.iteration < learner.settings.iterations:
            done = learner.iterate()
            row = {**done._asdict(), **{f"reward_{name}": value for name, value in done.terms.items()}}
            del row["terms"]
            log.add(row)
            if board is not None:
                for name, value in row.items():
                    board.add_scalar(name, value, done.steps)
            if done.iteration % EVERY == 0 or done.iteration == learner.settings.iterations:
                kept = BytesIO()
                torch.save(learner.state(), kept)
                write(checkpoint, kept.getvalue())
            if tell is not None:
                tell(seed, done)
    if board is not None:
        board.close()


def _board(folder: Path) -> Any:
    """TensorBoard's writer, where it is installed."""
    if importlib.util.find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder))  # type: ignore[no-untyped-call]
