"""Columns of a table, checked value by value: what is wrong is reported with file and line (or row).

Text files come as strings and are converted here; typed files (parquet, feather) come as they are. The numbers are
float64: a decimal text of up to 15 digits survives that exactly once it is rounded to ticks or lots.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt
import polars as pl

from tidewright.market.clock import SECOND
from tidewright.market.errors import DataError
from tidewright.market.importers.files import Block, line_blocks
from tidewright.market.importers.report import EARLIEST, LATEST
from tidewright.market.tape import F64, I64, U8
from tidewright.market.typed_damage import typed_damage

_SEPARATOR, _QUOTE = b",", b'"'
_NEWLINE, _RETURN = 10, 13
_TYPED: Final = (b"PAR1", b"ARROW1")  # parquet, feather
# A time above the first bound is ns, above the second µs, above the third ms, else s; each bound lies in 1973.
_NS_FROM, _US_FROM, _MS_FROM = 10**17, 10**14, 10**11
HIGHEST: Final = 1e15  # above, float64 has no decimal left


@dataclass(frozen=True, slots=True)
class Table:
    """Some rows of one file.

    Attributes
    ----------
    path
        The file.
    frame
        The columns.
    line
        int64, each row's number in the file, from 1.
    unit
        What the numbers count: ``line`` or ``row``.
    """

    path: Path
    frame: pl.DataFrame
    line: I64
    unit: str = "line"

    def __len__(self) -> int:
        return len(self.line)

    def fail(self, row: int, problem: str) -> NoReturn:
        """Report a problem of one row.

        Raises
        ------
        DataError
            Always.
        """
        raise DataError(f"{self.path}, {self.unit} {self.line[row]}: {problem}")

    def require(self, good: npt.NDArray[np.bool_] | np.bool_, name: str, rule: str) -> None:
        """Report the first row that breaks a rule."""
        if not good.all():
            row = int(np.argmin(good))
            self.fail(row, f"{name} must be {rule}, was {self._value(name, row)!r}")

    def _value(self, name: str, row: int) -> Any:
        value = self.frame[name][row]
        return "" if value is None else value

    def numbers(self, name: str) -> F64:
        """A column of finite numbers."""
        values = self.frame[name].cast(pl.Float64, strict=False).to_numpy()
        self.require(np.isfinite(values), name, "a finite number")
        return values

    def optional(self, name: str) -> F64:
        """A column of numbers that may be empty: NaN there."""
        column = self.frame[name]
        values = column.cast(pl.Float64, strict=False)
        empty = column.is_null() if column.dtype != pl.String else column.is_null() | (column == "")
        self.require((values.is_not_null() | empty).to_numpy(), name, "a number or empty")
        return values.fill_null(float("nan")).to_numpy()

    def prices(self, name: str) -> F64:
        """A column of prices: > 0, under 1e15."""
        values = self.numbers(name)
        self.require(values > 0, name, "> 0")
        self.require(values < HIGHEST, name, "under 1e15")
        return values

    def quantities(self, name: str) -> F64:
        """A column of quantities: >= 0, under 1e15."""
        values = self.numbers(name)
        self.require((values >= 0) & (values < HIGHEST), name, ">= 0 and under 1e15")
        return values

    def integers(self, name: str) -> I64:
        """A column of whole numbers."""
        column = self.frame[name].cast(pl.Int64, strict=False)
        self.require(column.is_not_null().to_numpy(), name, "a whole number")
        return column.to_numpy()

    def times(self, name: str) -> I64:
        """A column of times as ns: whole numbers of s, ms, µs or ns (told by size), ISO 8601 texts, or typed times."""
        column = self.frame[name]
        if column.dtype == pl.Date:
            column = column.cast(pl.Datetime("ns"))
        if isinstance(column.dtype, pl.Datetime):
            epochs = column.dt.epoch("ns")
            self.require(epochs.is_not_null().to_numpy(), name, "a time")
            return self._sane(epochs.to_numpy(), name)
        if column.dtype == pl.String:
            return self._sane(self._texts(column.str.strip_chars(), name), name)
        if column.dtype.is_float():
            return self._sane(self._fractions(column.cast(pl.Float64).fill_null(float("nan")).to_numpy(), name), name)
        return self._sane(to_ns(self.integers(name)), name)

    def _texts(self, column: pl.Series, name: str) -> I64:
        whole = column.cast(pl.Int64, strict=False)
        if not whole.null_count():
            return to_ns(whole.to_numpy())
        numbers = column.cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()
        number = np.isfinite(numbers)
        if number.all():
            return self._fractions(numbers, name)
        parsed = column.str.to_datetime(time_unit="ns", time_zone="UTC", strict=False)
        self.require(number | parsed.is_not_null().to_numpy(), name, "a time (a number, or ISO 8601)")
        self._alike(number, name, "a number", "ISO 8601")
        return parsed.dt.epoch("ns").to_numpy()

    def _fractions(self, values: F64, name: str) -> I64:
        """Times as floats: seconds to the µs where they have a fraction, else as whole numbers."""
        self.require(np.isfinite(values), name, "a time")
        fraction = values != np.floor(values)
        if not fraction.any():
            return to_ns(np.minimum(values, 9e18).astype(np.int64))
        seconds = values < _MS_FROM
        self.require(
            ~fraction | (seconds & (values >= EARLIEST // SECOND)), name, "a time in s where it has a fraction"
        )
        if not seconds.all():
            self._alike(seconds, name, "a time in s", "a time in ms, µs or ns")
        return np.rint(values * 1e6).astype(np.int64) * 1_000

    def _alike(self, first: npt.NDArray[np.bool_], name: str, form: str, other: str) -> None:
        """Report the first of the few times that are written in another way than most: one of them is a mistake."""
        few = 2 * np.count_nonzero(first) < len(first)
        if first.any():
            self.require(~first if few else first, name, f"{other if few else form}, as most are")

    def _sane(self, values: I64, name: str) -> I64:
        self.require((values >= EARLIEST) & (values < LATEST), name, "a time between 2009 and 2100")
        return values

    def codes(self, name: str, words: Mapping[str, int], rule: str) -> U8:
        """A column of words as codes; case does not count.

        Raises
        ------
        DataError
            If a word is not in the table.
        """
        column = self.frame[name].cast(pl.String).str.strip_chars().str.to_lowercase().fill_null("")
        coded = column.replace_strict(dict(words), default=None, return_dtype=pl.UInt8)
        self.require(coded.is_not_null().to_numpy(), name, rule)
        return coded.to_numpy()


def to_ns(values: I64) -> I64:
    """Nanoseconds of whole numbers of s, ms, µs or ns since 1970, told apart by their size, value by value."""
    scale = np.select([values >= _NS_FROM, values >= _US_FROM, values >= _MS_FROM], [1, 1_000, 1_000_000], SECOND)
    highest = LATEST // scale  # what lies beyond it would not fit into 64 bits
    return np.where(values > highest, LATEST, np.minimum(values, highest) * scale)


class Header(NamedTuple):
    """What the columns of a text file are called, and whether its first line says so."""

    names: list[str]
    present: bool


def first_fields(path: Path) -> list[str]:
    """The fields of a text file's first line.

    Raises
    ------
    DataError
        If the file is empty or no text.
    """
    for block in line_blocks(path, size=1 << 16):
        line = block.text.split(b"\n", 1)[0].strip(b"\r\xef\xbb\xbf")
        try:
            return [field.strip().strip('"') for field in line.decode().split(_SEPARATOR.decode())]
        except UnicodeDecodeError:
            raise DataError(f"{path}, line 1: not a text file") from None
    raise DataError(f"{path} is empty")


def read_csv(
    path: Path, header: Header, wanted: Sequence[str], progress: Callable[[float], None] | None = None
) -> Iterator[Table]:
    """The wanted columns of a text file, block by block, as strings; empty lines are passed over.

    Raises
    ------
    DataError
        If a wanted column is missing, a line has more or fewer fields than the header (without one: than the first
        line), or is no text; packed data that ends early.
    """
    missing = [name for name in wanted if name not in header.names]
    if missing:
        raise DataError(f"{path}, line 1: lacks the columns {', '.join(missing)}; it has {', '.join(header.names)}")
    names = [name or f"unnamed {i}" for i, name in enumerate(header.names)]
    for block in line_blocks(path, progress):
        if block.line == 1 and header.present:
            block = Block(2, block.text.partition(b"\n")[2])
        text, line = _full_lines(path, block, len(names))
        if not len(line):
            continue
        try:
            frame = pl.read_csv(text, has_header=False, schema=dict.fromkeys(names, pl.String))
        except pl.exceptions.PolarsError as error:
            raise _not_a_table(path, block, len(names), error) from None
        yield Table(path, frame.select(wanted), line)


def _full_lines(path: Path, block: Block, fields: int) -> tuple[bytes, I64]:
    """The lines of a block that are not empty, and their numbers; each must have all fields."""
    text = block.text if block.text.endswith(b"\n") else block.text + b"\n"
    data = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(data == _NEWLINE)
    starts = np.concatenate(([0], ends[:-1] + 1))
    separators = data == _SEPARATOR[0]
    if _QUOTE in text:  # a separator between quotes is none
        quotes = data == _QUOTE[0]
        open_ = np.add.reduceat(quotes, starts, dtype=np.int64) % 2 == 1
        if open_.any():
            raise DataError(f"{path}, line {block.line + int(np.argmax(open_))}: a quotation mark is not closed")
        separators &= np.cumsum(quotes) % 2 == 0
    found = np.add.reduceat(separators, starts, dtype=np.int64) + 1
    empty = (ends - starts == 0) | ((ends - starts == 1) & (data[starts] == _RETURN))
    wrong = ~empty & (found != fields)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(f"{path}, line {block.line + row}: must have {fields} fields, has {found[row]}")
    line = block.line + np.flatnonzero(~empty)
    if empty.any():
        text = b"".join(text[starts[i] : ends[i] + 1] for i in np.flatnonzero(~empty))
    return text, line


def _not_a_table(path: Path, block: Block, fields: int, error: Exception) -> DataError:
    try:
        block.text.decode()
    except UnicodeDecodeError as bad:
        number = block.line + block.text.count(b"\n", 0, bad.start)
        return DataError(f"{path}, line {number}: not a text ({bad.reason})")
    schema = {str(i): pl.String for i in range(fields)}
    for number, line in enumerate(block.text.splitlines(), block.line):
        try:
            pl.read_csv(line or b"\n", has_header=False, schema=schema)
        except pl.exceptions.PolarsError as found:
            return DataError(f"{path}, line {number}: not of {fields} fields ({str(found).splitlines()[0]})")
    return DataError(f"{path}, from line {block.line}: not a table of {fields} columns ({str(error).splitlines()[0]})")


def is_typed(path: Path) -> bool:
    """Whether a file is parquet or feather, by its first bytes."""
    with open(path, "rb") as raw:
        return raw.read(6).startswith(_TYPED)


def read_typed(
    path: Path, wanted: Sequence[str], rows: int = 500_000, progress: Callable[[float], None] | None = None
) -> Iterator[Table]:
    """The wanted columns of a parquet or feather file, part by part.

    Raises
    ------
    DataError
        If the file is cut off or neither, or a wanted column is missing.
    """
    with open(path, "rb") as raw:
        parquet = raw.read(6).startswith(_TYPED[0])
    try:
        names = list(pl.read_parquet_schema(path) if parquet else pl.read_ipc_schema(path))
        missing = [name for name in wanted if name not in names]
        if missing:
            raise DataError(f"{path} lacks the columns {', '.join(missing)}; it has {', '.join(names)}")
        columns = list(dict.fromkeys(wanted))
        frame = pl.read_parquet(path, columns=columns) if parquet else pl.read_ipc(path, columns=columns)
        frame = frame.select(columns)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise typed_damage(path, error) from None
    for start in range(0, len(frame), rows):
        part = frame.slice(start, rows)
        yield Table(path, part, np.arange(start + 1, start + len(part) + 1, dtype=np.int64), "row")
        if progress is not None:
            progress((start + len(part)) / len(frame))
