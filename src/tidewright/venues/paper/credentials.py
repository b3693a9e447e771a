"""API keys of the paper exchange, and the state file by which a restarted session finds it again."""

import contextlib
import os
import re
import secrets
import socket
import string
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from tidewright.coordination.alive import is_alive
from tidewright.market.errors import DataError, UsageError

_ALPHABET: Final = string.ascii_letters + string.digits
_LENGTH: Final = 64
KEY_FORM: Final = re.compile(r"^[A-Za-z0-9]{64}$")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key and its secret; neither is in the repr."""

    key: str = field(repr=False)
    secret: str = field(repr=False)

    @classmethod
    def generate(cls) -> "ApiKey":
        """A new pair, 64 letters and digits each, like Binance's."""
        return cls(*("".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH)) for _ in range(2)))


class StateFile:
    """The ready line on disk, mode 600, replaced atomically, with the process id.

    Parameters
    ----------
    path
        The file; its folder must exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> ApiKey | None:
        """The key of an exchange that did not end cleanly, so that its session finds the new one with the same key.

        Raises
        ------
        UsageError
            If an exchange with this state file still answers.
        DataError
            If the file is not a state file.
        """
        if not self.path.exists():
            return None
        try:
            state = orjson.loads(self.path.read_bytes())
            key, url, pid = ApiKey(state["api_key"], state["api_secret"]), str(state["rest"]), int(state["pid"])
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            raise DataError(f"{self.path} is not a state file of a paper exchange; delete it or name another") from None
        if is_alive(pid) and _answers(url):
            raise UsageError(f"an exchange is running already with the state file {self.path} (process {pid}, {url})")
        return key

    def write(self, ready: dict[str, Any]) -> None:
        """Write the ready line and this process's id."""
        folder = self.path.parent
        if not folder.is_dir():
            raise UsageError(f"the folder of the state file does not exist: {folder}")
        handle, name = tempfile.mkstemp(dir=folder, prefix=f".{self.path.name}.")  # created with mode 600
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(orjson.dumps({**ready, "pid": os.getpid()}))
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, self.path)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise

    def remove(self) -> None:
        """Delete the file, unless another process has taken it over."""
        with contextlib.suppress(OSError, orjson.JSONDecodeError, AttributeError):
            if orjson.loads(self.path.read_bytes()).get("pid") == os.getpid():
                self.path.unlink()


def _answers(url: str) -> bool:
    parts = urlsplit(url)
    try:
        with socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 80), timeout=1.0):
            return True
    except OSError:
        return False
