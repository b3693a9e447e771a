"""A file that will be written: checked before the work whose result it is to hold, then written whole."""

import os
from pathlib import Path

from tidewright.market.errors import UsageError


def output_file(path: str | os.PathLike[str], what: str) -> Path:
    """Make sure that a file can be written, its folder made where it is missing.

    Parameters
    ----------
    what
        What is to be written, for people.

    Raises
    ------
    UsageError
        If the path is a folder, or the folder it is in cannot be made or written to.
    """
    target = Path(path)
    if target.is_dir():
        raise UsageError(f"cannot write {what} to {target}: it is a folder, name a file in it")
    folder = target.absolute().parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write {what} to {target}: {error.strerror or error}") from None
    if not os.access(folder, os.W_OK):
        raise UsageError(f"cannot write {what} to {target}: {folder} cannot be written to")
    return target


def write_whole(path: str | os.PathLike[str], text: str, what: str = "the page") -> Path:
    """Write a text file, whole or not at all, its folder made where it is missing.

    Parameters
    ----------
    what
        What is written, for people.

    Raises
    ------
    UsageError
        If it cannot be written.
    """
    target = output_file(path, what)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(target)
    except OSError as error:
        raise UsageError(f"cannot write {what} to {target}: {error.strerror or error}") from None
    finally:
        temporary.unlink(missing_ok=True)
    return target
