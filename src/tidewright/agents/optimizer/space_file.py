"""A space in a file: TOML, YAML or JSON, a table ``parameters`` with an entry a parameter."""

import tomllib
from pathlib import Path
from typing import Any

import orjson

from tidewright.agents.optimizer.space import Space, of_mapping
from tidewright.market.errors import DataError, NotFoundError


def read_space(path: str | Path) -> Space:
    """Space of a file.

    Each entry is ``[low, high]``, ``[low, high, "log"]``, ``[low, high, "int"]``, or a table with ``low``, ``high`` and
    perhaps ``kind``, or with ``choices``; and perhaps ``when = {parent: [values]}``.

    Raises
    ------
    NotFoundError
        If there is no such file.
    DataError
        If it cannot be read or has no parameters.
    UsageError
        If a range is malformed.
    """
    source = Path(path)
    if not source.is_file():
        raise NotFoundError(f"there is no space file {source}")
    content = _content(source)
    entries = content.get("parameters", content) if isinstance(content, dict) else None
    if not isinstance(entries, dict) or not entries:
        raise DataError(
            f"space file {source} must have a table of parameters, one entry each, "
            'such as levels = [1, 6, "int"]; it had none'
        )
    return of_mapping({str(name): _entry(entry) for name, entry in entries.items()})


def _entry(entry: Any) -> Any:
    """In a file a list of two numbers, perhaps with a kind, is a range; choices are named as such."""
    numbers = isinstance(entry, list) and all(isinstance(end, int | float) for end in entry[:2])
    return tuple(entry) if numbers and len(entry) in (2, 3) else entry


def _content(source: Path) -> Any:
    data = source.read_bytes()
    try:
        if source.suffix == ".json":
            return orjson.loads(data)
        if source.suffix in (".yaml", ".yml"):
            import yaml  # type: ignore[import-untyped]

            try:
                return yaml.safe_load(data)
            except yaml.YAMLError as error:
                raise DataError(f"space file {source} is no YAML: {error}") from None
        if source.suffix == ".toml":
            return tomllib.loads(data.decode("utf-8"))
    except (orjson.JSONDecodeError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"space file {source} cannot be read: {error}") from None
    raise DataError(f"a space file ends in .toml, .yaml, .yml or .json, was {source.name}")
