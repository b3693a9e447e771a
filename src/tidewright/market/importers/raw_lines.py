"""Raw stream captures: lines of ``<local time> <json>``, plain or gzip, one stream in one or more files."""

import gzip
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import orjson

from tidewright.market.errors import DataError

_NANOSECONDS_FROM: Final = 100_000_000_000_000_000  # a local time above is ns, below µs
_GZIP: Final = b"\x1f\x8b"
_TELL_EVERY: Final = 2_000


class Line(NamedTuple):
    """One line: receipt in ns, the message without its stream wrapper, and whether it is a REST snapshot."""

    ts_local: int
    payload: dict[str, Any]
    is_snapshot: bool


def read_lines(path: Path, progress: Callable[[float], None] | None = None) -> Iterator[Line]:
    """Lines of one file.

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
                    yield _parse(line)
                if progress is not None and number % _TELL_EVERY == 0:
                    progress(raw.tell() / size)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"{path}, after line {number}: the gzip data is cut off or damaged ({error})") from None
        except orjson.JSONDecodeError as error:
            raise DataError(f"{path}, line {number}: cut off or not JSON ({error})") from None
        except _LineError as error:
            raise DataError(f"{path}, line {number}: {error}") from None


class _LineError(ValueError):
    pass


def _parse(line: bytes) -> Line:
    time, _, text = line.partition(b" ")
    if not time.isdigit():
        raise _LineError(f"must begin with the local time and a space, was {line[:60]!r}")
    ts_local = int(time)
    if ts_local < _NANOSECONDS_FROM:
        ts_local *= 1_000
    message = orjson.loads(text)
    if not isinstance(message, dict):
        raise _LineError(f"a JSON object is expected after the local time, was {text[:60]!r}")
    if "stream" in message:
        message = message.get("data")
        if not isinstance(message, dict):
            raise _LineError('a combined stream message needs an object under "data"')
        return Line(ts_local, message, False)
    return Line(ts_local, message, "lastUpdateId" in message)
