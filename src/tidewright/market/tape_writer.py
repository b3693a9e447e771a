"""Writing a tape: rows are appended to its columns, then their count is published (:mod:`tidewright.market.tape`)."""

import os
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
import numpy.typing as npt
import orjson

from tidewright.market.codes import PACKET_END
from tidewright.market.draft import Draft
from tidewright.market.errors import DataError, UsageError
from tidewright.market.instrument import Instrument
from tidewright.market.tape import COLUMN_TYPES, FORMAT_VERSION, Columns, Tape


class TapeWriter:
    """Writes a tape; use it as a context manager.

    Parameters
    ----------
    path
        The tape folder; it must not exist, unless ``resume``.
    instrument
        What is recorded.
    detail
        What the source held: ``"L2+trades"``, ``"book snapshots+trades (degraded)"``, ...
    source
        Where the rows come from, for people.
    growing
        ``False``: the folder appears under its name only when the writer closes without an error, so that a failed
        import leaves nothing; what one that was killed has left is removed by the next of the same name
        (:mod:`tidewright.market.draft`). ``True``: it is there from the first :meth:`publish`, for readers beside the
        writer.
    resume
        Continue a growing tape: rows after the published count are cut off.

    Raises
    ------
    UsageError
        If something is already at the path.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        instrument: Instrument,
        *,
        detail: str = "L2+trades",
        source: str = "",
        growing: bool = False,
        resume: bool = False,
    ) -> None:
        self.path = Path(path)
        self._rows = 0
        self._last_ts = 0
        self.notes: dict[str, Any] = {}
        if resume and (self.path / "meta.json").is_file():
            tape = Tape.open(self.path)
            instrument, detail, source = tape.instrument, tape.meta["detail"], tape.meta["source"]
            self._rows, self._last_ts, self.notes = len(tape), tape.end_ns, dict(tape.meta["notes"])
        elif self.path.exists():
            raise UsageError(f"{self.path} already exists; choose another name or delete it")
        self._head = {"detail": detail, "source": source, "instrument": instrument.to_json()}
        self._draft = None if growing else Draft(self.path, {*COLUMN_TYPES, "meta.json", "meta.json.new"})
        self._folder = self.path if self._draft is None else self._draft.folder
        self._files: dict[str, BinaryIO] = {}
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for name, dtype in COLUMN_TYPES.items():
                self._files[name] = open(self._folder / name, "ab")
                self._files[name].truncate(self._rows * np.dtype(dtype).itemsize)
        except BaseException:  # told to end here too: nobody holds this writer yet who could clear up
            self.abandon()
            raise

    @property
    def rows(self) -> int:
        """Rows written so far."""
        return self._rows

    @property
    def folder(self) -> Path:
        """Where the rows lie while they are written: another folder than ``path`` until a closed tape gets its name."""
        return self._folder

    def append(self, data: Columns) -> None:
        """Append rows; they are visible to readers only after :meth:`publish`.

        Raises
        ------
        DataError
            If venue time falls or the last row does not end a packet.
        """
        count = len(data.ts)
        if count == 0:
            return
        if int(data.ts[0]) < self._last_ts or (count > 1 and bool(np.any(np.diff(data.ts) < 0))):
            raise DataError("venue time (ts) may not fall along a tape")
        if not data.flags[-1] & PACKET_END:
            raise DataError("rows are appended by whole packets: the last row must end a packet")
        for (name, dtype), column in zip(COLUMN_TYPES.items(), list[npt.NDArray[Any]](data), strict=True):
            if len(column) != count:
                raise DataError(f"column {name} has {len(column)} rows, the others {count}")
            self._files[name].write(np.ascontiguousarray(column, dtype).tobytes())
        self._rows += count
        self._last_ts = int(data.ts[-1])

    def publish(self) -> None:
        """Make the rows written so far visible, atomically."""
        for file in self._files.values():
            file.flush()
        meta = {"format_version": FORMAT_VERSION, "rows": self._rows, **self._head, "notes": self.notes}
        temporary = self._folder / "meta.json.new"
        temporary.write_bytes(orjson.dumps(meta, option=orjson.OPT_INDENT_2))
        temporary.replace(self._folder / "meta.json")

    def close(self) -> None:
        """Publish and close; a tape that was not growing gets its name now.

        Raises
        ------
        UsageError
            If somebody else has taken the name meanwhile; nothing is left then.
        """
        self.publish()
        self._close_files()
        if self._draft is None:
            return
        try:
            self._draft.publish()
        except OSError:
            self._draft.remove()
            if self.path.exists():
                raise UsageError(f"{self.path} exists by now; choose another name or delete it") from None
            raise

    def abandon(self) -> None:
        """Close after an error: a growing tape keeps what was published, any other leaves nothing."""
        self._close_files()
        if self._draft is not None:
            self._draft.remove()

    def _close_files(self) -> None:
        for file in self._files.values():
            file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.abandon()
