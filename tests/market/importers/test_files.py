"""Packed files that were cut off or changed: which line is said to be the last good one."""

import gzip
import io
import zipfile
import zlib
from pathlib import Path

import pytest

from tidewright.market.errors import DataError
from tidewright.market.importers.binance_raw import import_binance_raw
from tidewright.market.importers.files import line_blocks

LINES = [f"{i},{i * i % 9_973},{'abcdefgh'[i % 8]}\n" for i in range(40_000)]
TEXT = "".join(LINES).encode()


def packed_by_gzip(text: bytes) -> bytes:
    return gzip.compress(text, mtime=0)


def packed_by_zip(text: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", text)
    return made.getvalue()


def stored_in_a_zip(text: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("a.csv", text)
    return made.getvalue()


def whole_lines(packed: bytes, window: int) -> int:
    """Whole lines that zlib gives back of the beginning of packed data."""
    return zlib.decompressobj(window).decompress(packed).count(b"\n")


def problem(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        for _ in line_blocks(path):
            pass
    return str(caught.value).removeprefix(f"{path}, ").partition(": ")[0]


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9, 0.9999])
def test_cut_off_gzip_names_the_last_whole_line(tmp_path, share):
    packed = packed_by_gzip(TEXT)
    cut = packed[: int(share * len(packed))]
    (tmp_path / "a.gz").write_bytes(cut)
    assert problem(tmp_path / "a.gz") == f"after line {whole_lines(cut, 31)}"


def test_cut_off_zip_names_the_last_whole_line_although_its_directory_is_gone(tmp_path):
    packed = packed_by_zip(TEXT)
    cut = packed[: len(packed) // 2]
    (tmp_path / "a.zip").write_bytes(cut)
    assert problem(tmp_path / "a.zip") == f"after line {whole_lines(cut[30 + len('a.csv') :], -15)}"
    stored = stored_in_a_zip(TEXT)[: 30 + len("a.csv") + len(TEXT) // 2]
    (tmp_path / "b.zip").write_bytes(stored)
    lines = TEXT[: len(TEXT) // 2].count(b"\n")
    assert problem(tmp_path / "b.zip") == f"after line {lines}"


def test_cut_before_the_first_line_ends_is_in_it(tmp_path):
    (tmp_path / "a.gz").write_bytes(packed_by_gzip(TEXT)[:12])
    assert problem(tmp_path / "a.gz") == "in line 1"


@pytest.mark.parametrize("text", [TEXT, TEXT + b"1,2"], ids=["whole lines", "without an end"])
@pytest.mark.parametrize("pack", [packed_by_gzip, packed_by_zip, stored_in_a_zip])
def test_wrong_checksum_alone_may_stand_for_any_line(tmp_path, text, pack):
    packed = bytearray(pack(text))
    if pack is packed_by_gzip:
        packed[-8] ^= 1
    else:
        place = packed.rindex(b"PK\x01\x02") + 16  # in the directory
        packed[place] ^= 1
    (tmp_path / "a").write_bytes(packed)
    assert problem(tmp_path / "a") == f"in line {len(LINES) + (text != TEXT)} or before it"


def test_second_part_of_a_gzip_file_counts_on(tmp_path):
    first, second = packed_by_gzip(TEXT), packed_by_gzip(TEXT)
    (tmp_path / "a.gz").write_bytes(first + second[: len(second) // 2])
    expected = len(LINES) + whole_lines(second[: len(second) // 2], 31)
    assert problem(tmp_path / "a.gz") == f"after line {expected}"


@pytest.mark.parametrize("pack", [packed_by_gzip, packed_by_zip])
@pytest.mark.parametrize("at", [0.1, 0.5, 0.8])
def test_changed_byte_is_in_the_line_named_or_before_it(tmp_path, pack, at):
    packed = bytearray(pack(TEXT))
    place = int(at * len(packed))
    head = 10 if pack is packed_by_gzip else 30 + len("a.csv")
    damaged_line = zlib.decompressobj(-15).decompress(bytes(packed[head:place])).count(b"\n") + 1
    packed[place] ^= 0x10
    (tmp_path / "a").write_bytes(packed)
    words = problem(tmp_path / "a").split()
    assert (words[:2], words[3:]) == (["in", "line"], ["or", "before", "it"])
    assert int(words[2]) >= damaged_line


def test_head_that_is_no_use_names_no_line(tmp_path):
    (tmp_path / "a.zip").write_bytes(packed_by_zip(TEXT)[:20])
    with pytest.raises(DataError, match=r"/a\.zip: the packed data is cut off or damaged"):
        list(line_blocks(tmp_path / "a.zip"))


def test_cut_off_capture_names_the_last_whole_line(tmp_path):
    message = '{"e":"trade","E":1700000000000,"s":"BTCUSDT","t":%d,"p":"1.5","q":"1","T":1700000000000,"m":true}'
    text = "".join(f"170000000000{i:07d} {message % i}\n" for i in range(3_000)).encode()
    cut = packed_by_gzip(text)[:-100]
    (tmp_path / "a.gz").write_bytes(cut)
    with pytest.raises(DataError, match=rf"/a\.gz, after line {whole_lines(cut, 31)}: the packed data is cut off"):
        import_binance_raw([tmp_path / "a.gz"], tmp_path / "tape")
