"""Raw stream captures: lines of ``<local time> <json>``, plain or gzip, one stream in one or more files."""

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import orjson

from tidewright.market.errors import DataError
from tidewright.market.importers.files import DAMAGED, damage
from tidewright.market.importers.report import EARLIEST, LATEST

_NANOSECONDS_FROM: Final = 100_000_000_000_000_000  # a local time above is ns, below µs
_MOST_DIGITS: Final = 24  # of a local time: the rest of a longer one does not make it sane
_GZIP: Final = b"\x1f\x8b"
_TELL_EVERY: Final = 2_000


class Line(NamedTuple):
    """One line: receipt in ns, the message without its stream wrapper, whether it is a REST snapshot, its number."""

    ts_local: int
    payload: dict[str, Any]
    is_snapshot: bool
    number: int


def read_lines(path: Path, progress: Callable[[float], None] | None = None) -> Iterator[Line]:
    """Lines of one file; empty ones are passed over, but counted.

    Parameters
    ----------
    path
        Plain text or gzip, told apart by content.
    progress
        Told now and then which share of the file has been read.

    Raises
    ------
    DataError
        If the file ends early or a line is not of the format; names file and line.
    """
    size = max(1, path.stat().st_size)
    number = 0
    with open(path, "rb") as raw:
        packed = raw.read(2) == _GZIP
        raw.seek(0)
        text: IO[bytes] = gzip.open(raw) if packed else raw  # type: ignore[assignment]
        try:
            for number, line in enumerate(text, 1):
                if line.strip():
                    yield _parse(line, number)
                if progress is not None and number % _TELL_EVERY == 0:
                    progress(raw.tell() / size)
        except DAMAGED as error:
            raise damage(path, error) from None
        except orjson.JSONDecodeError as error:
            raise DataError(f"{path}, line {number}: cut off or not JSON ({error})") from None
        except _LineError as error:
            raise DataError(f"{path}, line {number}: {error}") from None


class _LineError(ValueError):
    pass


def _parse(line: bytes, number: int) -> Line:
    time, _, text = line.partition(b" ")
    if not time.isdigit():
        raise _LineError(f"must begin with the local time and a space, was {line[:60]!r}")
    message = orjson.loads(text)
    if not isinstance(message, dict):
        raise _LineError(f"a JSON object is expected after the local time, was {text[:60]!r}")
    wrapped = "stream" in message
    if wrapped:
        message = message.get("data")
        if not isinstance(message, dict):
            raise _LineError('a combined stream message needs an object under "data"')
    ts_local = int(time[:_MOST_DIGITS])
    if ts_local < _NANOSECONDS_FROM:
        ts_local *= 1_000
    if not EARLIEST <= ts_local < LATEST:
        raise _LineError(f"the local time must be µs or ns between 2009 and 2100, was {time[:60].decode()}")
    return Line(ts_local, message, not wrapped and "lastUpdateId" in message, number)
