"""Reading input files in blocks of whole lines: plain text, gzip or a zip of one file, told apart by content."""

import gzip
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, NamedTuple, cast

from tidewright.market.errors import DataError

_GZIP: Final = b"\x1f\x8b"
_ZIP: Final = b"PK\x03\x04"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_BLOCK: Final = 4 << 20  # bytes of unpacked text at a time
_LONGEST_LINE: Final = 1 << 20

DAMAGED: Final = (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile, NotImplementedError)


class Block(NamedTuple):
    """Whole lines of a file, with the number of the first (from 1)."""

    line: int
    text: bytes


@contextmanager
def unpacked(path: Path, progress: Callable[[float], None] | None = None) -> Iterator[Callable[[int], bytes]]:
    """A function that reads the next bytes of a file's content, unpacking it and telling the progress.

    Raises
    ------
    DataError
        If the file is empty, packed in an unknown way, or a zip archive of none or several files.
    """
    size = max(1, path.stat().st_size)
    with open(path, "rb") as raw:
        with _open(path, raw, raw.read(4)) as content:

            def read(count: int) -> bytes:
                data = content.read(count)
                if progress is not None:
                    progress(min(1.0, raw.tell() / size))
                return data

            yield read


@contextmanager
def _open(path: Path, raw: IO[bytes], magic: bytes) -> Iterator[IO[bytes]]:
    raw.seek(0)
    if not magic:
        raise DataError(f"{path} is empty")
    if magic.startswith(_ZSTD):
        raise DataError(f"{path} is packed with zstd, which is not read here: unpack it first")
    if magic.startswith(_GZIP):
        with gzip.open(raw) as content:
            yield cast(IO[bytes], content)
    elif magic.startswith(_ZIP):
        with _archive(path, raw) as archive, archive.open(_only_member(path, archive)) as content:
            yield content
    else:
        yield raw


def _archive(path: Path, raw: IO[bytes]) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(raw)
    except zipfile.BadZipFile as error:
        raise DataError(f"{path}: the zip archive is cut off or damaged ({error})") from None


def _only_member(path: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    members = [info for info in archive.infolist() if not info.is_dir()]
    if len(members) != 1:
        names = ", ".join(info.filename for info in members[:5]) or "none"
        raise DataError(f"{path} must hold exactly one file, holds {len(members)} ({names})")
    if members[0].flag_bits & 1:
        raise DataError(f"{path} is encrypted: unpack it first")
    return members[0]


def line_blocks(path: Path, progress: Callable[[float], None] | None = None, size: int = _BLOCK) -> Iterator[Block]:
    """The lines of a text file, block by block.

    Raises
    ------
    DataError
        If the file is empty, or packed data ends early or is damaged; names the file and the last line read.
    """
    line, rest = 1, b""
    try:
        with unpacked(path, progress) as read:
            while data := read(size):
                data = rest + data
                cut = data.rfind(b"\n") + 1
                if cut:
                    yield Block(line, data[:cut])
                    line += data.count(b"\n", 0, cut)
                rest = data[cut:]
                if len(rest) > _LONGEST_LINE:
                    raise DataError(f"{path}, line {line}: longer than {_LONGEST_LINE:,} bytes: not a text file")
    except DAMAGED as error:
        line += rest.count(b"\n")
        raise DataError(f"{path}, after line {line - 1}: the packed data is cut off or damaged ({error})") from None
    if rest:
        yield Block(line, rest)
