"""An evolution as a whole: several seeds one after the other, checkpoints, logs, and the ensemble that comes of it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tidewright.agents.executor.learning.evolution import Evolution, Generation
from tidewright.agents.executor.learning.folder import Log, claim
from tidewright.agents.executor.policy import Policy, ensemble
from tidewright.market.errors import UsageError

EVERY: Final = 5  # generations between checkpoints

Tell = Callable[[int, Generation], None]


def train(
    make: Callable[[int], Evolution],
    seeds: Sequence[int],
    folder: Path,
    header: Mapping[str, Any],
    tell: Tell | None = None,
) -> Policy:
    """Evolve a network with every seed, none knowing of the others, and make one policy of all.

    Parameters
    ----------
    make
        An evolution for a seed; all of the same settings.
    folder
        Where checkpoints (``seed-N.npz``) and logs (``seed-N.csv``) are kept. A second call goes on where the first
        stopped, with the same bytes as if it had not.
    header
        What the policy's file says of the training.
    tell
        Called after every generation with the seed.

    Raises
    ------
    UsageError
        If the folder holds a training with other settings or data.
    """
    if not seeds:
        raise UsageError("an evolution needs at least one seed")
    made = dict(header)
    members = []
    for seed in seeds:
        evolution = make(seed)
        made["learner"] = {"method": "evolution", **evolution.settings.to_json()}
        claim(folder, made)  # not before it can begin: a call that is refused leaves nothing behind
        _evolve(evolution, folder, seed, tell)
        members.append(evolution.policy())
    return ensemble(members, {**made, "seeds": list(seeds)})


def _evolve(evolution: Evolution, folder: Path, seed: int, tell: Tell | None) -> None:
    checkpoint, total = folder / f"seed-{seed}.npz", evolution.settings.generations
    if checkpoint.is_file():
        evolution.resume(checkpoint)
    with Log(folder / f"seed-{seed}.csv", evolution.number) as log:
        while evolution.number < total:
            done = evolution.generation()
            log.add(done._asdict())
            if done.number % EVERY == 0 or done.number == total:
                evolution.save(checkpoint)
            if tell is not None:
                tell(seed, done)
