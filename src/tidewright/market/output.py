"""A file that will be written: checked before the work whose result it is to hold."""

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
