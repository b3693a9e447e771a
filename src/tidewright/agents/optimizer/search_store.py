"""A search in a file: JSON, written to a temporary name and renamed, so that a kill leaves the old file or the new."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from tidewright.agents.optimizer.space import Dimension, Space
from tidewright.market.errors import DataError, NotFoundError, UsageError

_FORMAT: Final = "tidewright-search"
_VERSION: Final = 1


def write(path: Path, kept: dict[str, Any]) -> None:
    """Write a search; NaN becomes null.

    Raises
    ------
    UsageError
        If the file cannot be written.
    """
    space: Space = kept["space"]
    content = {"format": _FORMAT, "version": _VERSION, **kept, "space": [asdict(part) for part in space.dimensions]}
    data = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY, default=_plain)
    temporary = path.with_name(path.name + ".new")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise UsageError(f"cannot write the search to {path}: {error.strerror or error}") from None


def read(path: Path) -> dict[str, Any]:
    """Read a search.

    Raises
    ------
    NotFoundError
        If there is no such file.
    DataError
        If it is no search, or damaged.
    """
    if not path.is_file():
        raise NotFoundError(f"there is no search at {path}")
    try:
        kept: dict[str, Any] = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise DataError(f"search {path} is damaged: {error}") from None
    if not isinstance(kept, dict) or kept.get("format") != _FORMAT:
        raise DataError(f"{path} is no saved search")
    if kept.get("version") != _VERSION:
        raise DataError(f"search {path} must have version {_VERSION}, had {kept.get('version')}")
    try:
        kept["space"] = Space(tuple(_dimension(part) for part in kept["space"]))
    except (KeyError, TypeError) as error:
        raise DataError(f"search {path} is damaged: {error}") from None
    return kept


def _dimension(part: dict[str, Any]) -> Dimension:
    when = None if part["when"] is None else (part["when"][0], tuple(part["when"][1]))
    return Dimension(part["name"], part["low"], part["high"], part["kind"], tuple(part["choices"]), when)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(type(value).__name__)
