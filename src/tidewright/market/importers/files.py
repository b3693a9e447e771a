"""Reading input files in blocks of whole lines: plain text, gzip or a zip of one file, told apart by content."""

import gzip
import struct
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
_PACKED: Final = 64 << 10  # bytes of packed data at a time, where damage is looked for
_ZIP_HEADER: Final = struct.Struct("<4s2xHH8xI4xHH")  # signature, flags, method, packed size, lengths of name and extra
_SUMS: Final = ("incorrect data check", "incorrect length check")  # what zlib says of a checksum: all has come out

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
        raise damage(path, error, cut=True) from None  # its directory stands at the end


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
        If the file is empty, or packed data ends early or is damaged; names the file and the line (:func:`damage`).
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
        raise damage(path, error) from None
    if rest:
        yield Block(line, rest)


def damage(path: Path, error: Exception, *, cut: bool | None = None) -> DataError:
    """What is said of a packed file that could not be unpacked to its end.

    Data that was cut off is sound up to there, so the last whole line is known. Data that was changed may have unpacked
    to something else for a while before that was noticed, at the latest by the checksum at its end: the line where it
    was noticed is the last one that the damage can be in.

    Parameters
    ----------
    error
        What was met.
    cut
        Whether the end is missing; else told by the error.
    """
    salvaged = _salvaged(path)
    if salvaged is None:
        return DataError(f"{path}: the packed data is cut off or damaged ({error})")
    lines, begun, sound = salvaged
    if sound and (isinstance(error, EOFError) if cut is None else cut):
        place = f"after line {lines}" if lines else "in line 1"
        return DataError(f"{path}, {place}: the packed data is cut off ({error})")
    last = max(1, lines + int(begun or not sound))
    return DataError(f"{path}, in line {last} or before it: the packed data is damaged ({error})")


class _Salvaged(NamedTuple):
    """What came out of a damaged file: whole lines, whether another was begun, whether no fault was met but a sum's."""

    lines: int
    begun: bool
    sound: bool


def _salvaged(path: Path) -> _Salvaged | None:
    """What can be unpacked; ``None`` where the head itself is of no use."""
    lines, end, sound = 0, b"\n", True
    with open(path, "rb") as raw:
        parts = _parts(raw)
        if parts is None:
            return None
        try:
            for part in parts:
                lines += part.count(b"\n")
                end = part[-1:] or end
        except zlib.error as fault:
            sound = str(fault).endswith(_SUMS)
    return _Salvaged(lines, end != b"\n", sound)


def salvaged(path: Path) -> Iterator[bytes]:
    """The content of a cut or damaged packed file, as far as it can be unpacked; of a zip its first member's."""
    with open(path, "rb") as raw:
        try:
            yield from _parts(raw) or ()
        except zlib.error:
            return


def _parts(raw: IO[bytes]) -> Iterator[bytes] | None:
    """The content of a gzip file or of a zip's first member, part by part; its fault comes as ``zlib.error``."""
    head = raw.read(_ZIP_HEADER.size)
    if head.startswith(_GZIP):
        raw.seek(0)
        return _inflated(raw, zlib.MAX_WBITS | 16)
    if len(head) < _ZIP_HEADER.size or not head.startswith(_ZIP):
        return None
    _, flags, method, size, name, extra = _ZIP_HEADER.unpack(head)
    if method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or flags & 1:
        return None
    raw.seek(name + extra, 1)
    if method == zipfile.ZIP_DEFLATED:
        return _inflated(raw, -zlib.MAX_WBITS)
    return _stored(raw, size) if size else None  # 0: it stands behind the content


def _stored(raw: IO[bytes], size: int) -> Iterator[bytes]:
    while size > 0 and (part := raw.read(min(size, _PACKED))):
        yield part
        size -= len(part)


def _inflated(raw: IO[bytes], window: int) -> Iterator[bytes]:
    unpacker = zlib.decompressobj(window)
    while packed := raw.read(_PACKED):
        while packed:
            before = unpacker.copy()
            try:
                part = unpacker.decompress(packed)
            except zlib.error:
                for i in range(len(packed)):  # all that comes out before the byte that cannot be unpacked
                    yield before.decompress(packed[i : i + 1])
                raise
            yield part
            packed = unpacker.unused_data.lstrip(b"\0")
            if unpacker.eof:
                if window < 0:
                    return
                unpacker = zlib.decompressobj(window)  # a gzip file may be several, one after the other
