"""A folder that is written beside its name until it is whole, and what writers that were killed have left of theirs.

A draft of ``tape`` is ``.tape.partial-<process id>`` in the same folder. A file in it, which names the machine, is
locked (``flock``) for as long as its writer lives; the operating system lets go of the lock however the writer ends.
The file gets its name only when it is locked, so that a draft of this machine whose file can be locked is nobody's any
more.
"""

import fcntl
import logging
import os
import platform
import re
from collections.abc import Collection
from itertools import count
from pathlib import Path
from typing import Final

logger = logging.getLogger(__name__)
_LOCK: Final = "writing"
_FRESH: Final = "writing.new"  # the same before it is locked


class Draft:
    """One writer's draft. Drafts of the same name that nobody writes any more are removed first.

    Parameters
    ----------
    path
        The name it gets in the end.
    files
        Names of all files that a draft may hold: one with anything else in it is not ours to remove.

    Attributes
    ----------
    folder
        Where to write.
    """

    def __init__(self, path: Path, files: Collection[str]) -> None:
        self._path, self._files = path, {*files, _LOCK, _FRESH}
        if not path.parent.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
        self._remove_orphans()
        for number in count():  # the same id is taken by another machine or container, or by what a dead one has left
            self.folder = path.with_name(f".{path.name}.partial-{os.getpid()}" + (f"-{number}" if number else ""))
            try:
                self.folder.mkdir()
                break
            except FileExistsError:
                continue
        try:
            self._lock = self._locked()
        except BaseException:  # told to end here too: nobody holds this draft yet who could clear up
            _remove(self.folder)
            raise

    def _locked(self) -> int:
        """Say that it is being written; the file that says so."""
        lock = os.open(self.folder / _FRESH, os.O_CREAT | os.O_RDWR, 0o666)
        os.write(lock, _machine())
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            (self.folder / _FRESH).rename(self.folder / _LOCK)
        except OSError:  # a file system without locks: this draft is never taken for one that nobody writes
            (self.folder / _FRESH).unlink()
        return lock

    def publish(self) -> None:
        """Give it its name."""
        self.folder.rename(self._path)
        (self._path / _LOCK).unlink(missing_ok=True)
        os.close(self._lock)

    def remove(self) -> None:
        """Leave nothing of it."""
        try:
            _remove(self.folder)
        except OSError as error:
            logger.warning("%s could not be removed: %s", self.folder, error)
        os.close(self._lock)

    def _remove_orphans(self) -> None:
        ours = re.compile(re.escape(f".{self._path.name}.partial-") + r"\d+(-\d+)?")
        for folder in self._path.parent.iterdir():
            if not ours.fullmatch(folder.name) or folder.is_symlink() or not folder.is_dir():
                continue
            try:
                if self._remove_orphan(folder):
                    logger.warning("removed %s, which a process that was killed had left", folder)
            except OSError as error:
                logger.warning("%s was left by a process that was killed and cannot be removed: %s", folder, error)

    def _remove_orphan(self, folder: Path) -> bool:
        """Remove a draft if nobody writes it any more; whether it was."""
        try:
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
        except FileNotFoundError:
            return False  # about to be written, removed, or not ours
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(os.fstat(lock), os.stat(folder / _LOCK)):
                return False  # somebody else has removed it, and another writer has begun
            if os.read(lock, 1024) != _machine():
                return False  # of another one, whose locks may not reach here
            if any(file.name not in self._files or file.is_dir() for file in folder.iterdir()):
                return False
            _remove(folder)
            return True
        except (BlockingIOError, FileNotFoundError):
            return False  # still written, or just removed by somebody else
        finally:
            os.close(lock)


def _machine() -> bytes:
    return platform.node().encode()


def _remove(folder: Path) -> None:
    """Its files, that which tells that it is nobody's last: a removal that is broken off can be gone on with."""
    for file in sorted(folder.iterdir(), key=lambda file: file.name == _LOCK):
        file.unlink()
    folder.rmdir()
