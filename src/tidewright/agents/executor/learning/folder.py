"""The folder of a training: whose it is, its checkpoints and logs, so that a second call goes on where one stopped."""

import csv
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tidewright.market.errors import UsageError

TOLD: Final = ("command", "seeds", "version")  # what may differ between calls that go on with one another


def claim(folder: Path, made: Mapping[str, Any]) -> None:
    """Write down what is trained here, or refuse to mix it with something else; to be called when it can begin.

    A folder without a checkpoint holds no training: what a call left that ended before its first one is nobody's.

    Parameters
    ----------
    made
        What the policy's file will say of the training.

    Raises
    ------
    UsageError
        If the folder holds a training with other settings or data.
    """
    path = folder / "training.json"
    text = json.dumps({name: made[name] for name in made if name not in TOLD}, sort_keys=True, indent=1)
    if path.is_file() and path.read_text("utf-8") == text:
        return
    if any(folder.glob("seed-*.pt")) or any(folder.glob("seed-*.npz")):
        raise UsageError(f"{folder} holds a training with other settings or data; give another --work folder")
    folder.mkdir(parents=True, exist_ok=True)
    write(path, text.encode())


class Log:
    """A CSV file of a training's rounds: those before are kept, new ones are written as they come.

    Parameters
    ----------
    path
        Of the file.
    rounds
        How many were done before; later rows, of a call that was stopped after its checkpoint, are dropped.
    """

    def __init__(self, path: Path, rounds: int) -> None:
        kept = _rows(path, rounds)
        self._headed = bool(kept)
        self._file = path.open("w", newline="", encoding="utf-8")
        self._writer = csv.writer(self._file)
        self._writer.writerows(kept)

    def add(self, row: Mapping[str, Any]) -> None:
        """One more round."""
        if not self._headed:
            self._writer.writerow(row)
            self._headed = True
        self._writer.writerow(row.values())
        self._file.flush()

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *ended: object) -> None:
        self._file.close()


def _rows(path: Path, rounds: int) -> list[list[str]]:
    """Rows of a log up to a round, with its head; nothing if there are none."""
    if rounds == 0 or not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [row for index, row in enumerate(csv.reader(file)) if index <= rounds]


def write(path: Path, data: bytes) -> None:
    """Write a file; a reader sees the old one or the whole new one."""
    draft = path.with_name(f".{path.name}.draft")
    draft.write_bytes(data)
    os.replace(draft, path)
