"""The journal: every message in the order it came, on disk before anybody acts on it.

One JSON object a line: ``seq`` (1, 2, ...), ``at`` (market time), ``at_ns`` (the same to the nanosecond), ``event``
(sent, received or refused), ``reason`` (why it was refused, else empty) and ``message``, or ``raw``
where what came was not a message.

Durability: every line is handed to the operating system before :meth:`Journal.append` returns, so the death of the
process loses nothing. With ``fsync=True`` (the default) it is also on the disk by then, so a power cut loses nothing
either; messages are few, minutes apart, and a sync costs some milliseconds.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

import orjson

from tidewright.coordination.messages import Message, from_object, parse_timestamp, to_object
from tidewright.market.clock import iso
from tidewright.market.errors import DataError, NotFoundError

Event = Literal["sent", "received", "refused"]
EVENTS: Final = ("sent", "received", "refused")
_RAW_KEPT: Final = 4096  # characters of an unreadable line that are kept


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal.

    Attributes
    ----------
    seq
        Number of the line, from 1.
    at
        Market time it was written at, ISO 8601; ``at_ns`` in nanoseconds.
    message, raw
        The message, or the text that was none.
    """

    seq: int
    at: str
    event: Event
    reason: str
    message: Message | None
    raw: str | None
    at_ns: int = 0


class Journal:
    """Append-only; one writer.

    A last line that was cut off by a crash is removed when the journal is opened for writing.

    Parameters
    ----------
    path
        The file; created with its folder where absent.
    fsync
        Wait for the disk at every line.

    Raises
    ------
    DataError
        If the file holds a damaged line that is not its last.
    """

    def __init__(self, path: str | os.PathLike[str], *, fsync: bool = True) -> None:
        self.path = Path(path)
        self._fsync = fsync
        self._seq = 0
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            for entry in read(self.path):
                self._seq = entry.seq
            _cut_torn_line(self.path)
        self._file = open(self.path, "ab")

    @property
    def seq(self) -> int:
        """Number of the last line, 0 when there is none."""
        return self._seq

    def append(self, event: Event, at_ns: int, item: Message | str, reason: str = "") -> int:
        """Write one line and return its number.

        Parameters
        ----------
        at_ns
            Market time, nanoseconds.
        item
            The message, or the text that was none (its first 4096 characters are kept).
        """
        self._seq += 1
        line: dict[str, object] = {
            "seq": self._seq,
            "at": iso(at_ns),
            "at_ns": at_ns,
            "event": event,
            "reason": reason,
        }
        if isinstance(item, str):
            line["raw"] = item[:_RAW_KEPT].encode(errors="replace").decode()
        else:
            line["message"] = to_object(item)
        self._file.write(orjson.dumps(line) + b"\n")
        self._file.flush()
        if self._fsync:
            os.fsync(self._file.fileno())
        return self._seq

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read(path: str | os.PathLike[str]) -> Iterator[Entry]:
    """Entries of a journal in order; a last line without its line end (a crash while it was written) is left out.

    Raises
    ------
    NotFoundError
        If there is no journal at the path.
    DataError
        If a line is damaged or out of order.
    """
    file = Path(path)
    if not file.is_file():
        raise NotFoundError(f"no journal at {file}")
    with open(file, "rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.endswith(b"\n"):
                return
            yield _entry(file, number, line)


def _entry(file: Path, number: int, line: bytes) -> Entry:
    try:
        value = orjson.loads(line)
        seq, at, event, reason = value["seq"], value["at"], value["event"], value["reason"]
        message = from_object(value["message"]) if "message" in value else None
        raw = None if message is not None else str(value["raw"])
        at_ns = int(value["at_ns"]) if "at_ns" in value else parse_timestamp(at)
    except (orjson.JSONDecodeError, KeyError, TypeError, DataError) as error:
        raise DataError(f"line {number} of journal {file} is damaged: {error}") from None
    if seq != number or event not in EVENTS:
        raise DataError(f"line {number} of journal {file} must have seq {number} and a known event, had {seq}, {event}")
    return Entry(seq, at, event, reason, message, raw, at_ns)


def _cut_torn_line(path: Path) -> None:
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        with open(path, "r+b") as file:
            file.truncate(whole)
