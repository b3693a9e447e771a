import os
import shutil

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewright.market import codes
from tidewright.market.errors import DataError, NotFoundError, UsageError
from tidewright.market.instrument import Instrument
from tidewright.market.tape import COLUMN_TYPES, Columns, Tape, columns, concatenate, effective_receipt
from tidewright.market.tape_writer import TapeWriter

INSTRUMENT = Instrument("venue", "BTCUSD", "BTC", "USD", "0.01", "0.001")
END = codes.PACKET_END


def rows(*times: int, flags: int = END) -> Columns:
    return columns((t, t + 5, codes.BID, flags, 100 + t, 1) for t in times)


def test_what_is_written_is_read_back(tmp_path):
    with TapeWriter(tmp_path / "t", INSTRUMENT, detail="d", source="s") as writer:
        writer.append(rows(1, 2))
        writer.append(rows(2, 3))
        writer.notes["inferred"] = 7
    tape = Tape.open(tmp_path / "t")
    assert tape.data.ts.tolist() == [1, 2, 2, 3] and len(tape) == 4
    assert (tape.start_ns, tape.end_ns) == (1, 3)
    assert tape.instrument == INSTRUMENT
    assert (tape.meta["detail"], tape.meta["source"], tape.meta["notes"]) == ("d", "s", {"inferred": 7})
    assert [column.dtype.str for column in tape.data] == ["<i8", "<i8", "|u1", "|u1", "<i8", "<i8"]


def test_columns_are_read_only(tmp_path):
    with TapeWriter(tmp_path / "t", INSTRUMENT) as writer:
        writer.append(rows(1))
    with pytest.raises(ValueError, match="read-only"):
        Tape.open(tmp_path / "t").data.ts[0] = 9


def test_failed_writer_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), TapeWriter(tmp_path / "t", INSTRUMENT) as writer:
        writer.append(rows(1))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_growing_tape_shows_only_what_was_published(tmp_path):
    with pytest.raises(RuntimeError), TapeWriter(tmp_path / "t", INSTRUMENT, growing=True) as writer:
        writer.append(rows(1, 2))
        writer.publish()
        writer.append(rows(3))
        assert len(Tape.open(tmp_path / "t")) == 2
        raise RuntimeError
    assert Tape.open(tmp_path / "t").data.ts.tolist() == [1, 2]


def test_resumed_tape_cuts_off_what_was_not_published(tmp_path):
    writer = TapeWriter(tmp_path / "t", INSTRUMENT, growing=True)
    writer.append(rows(1, 2))
    writer.publish()
    writer.append(rows(3))
    writer.abandon()
    with TapeWriter(tmp_path / "t", INSTRUMENT, growing=True, resume=True) as again:
        assert again.rows == 2
        again.append(rows(7))
    assert Tape.open(tmp_path / "t").data.ts.tolist() == [1, 2, 7]


def test_existing_folder_is_not_overwritten(tmp_path):
    with TapeWriter(tmp_path / "t", INSTRUMENT) as writer:
        writer.append(rows(1))
    with pytest.raises(UsageError, match="already exists"):
        TapeWriter(tmp_path / "t", INSTRUMENT)


@pytest.mark.parametrize(
    ("first", "second", "match"),
    [
        (rows(5), rows(4), "may not fall"),
        (rows(5), rows(6, 5), "may not fall"),
        (rows(5), rows(6, flags=0), "whole packets"),
        (rows(5), rows(6)._replace(qty=np.array([1, 2])), "column qty has 2 rows"),
    ],
)
def test_rows_that_break_the_rules_are_refused(tmp_path, first, second, match):
    with pytest.raises(DataError, match=match), TapeWriter(tmp_path / "t", INSTRUMENT) as writer:
        writer.append(first)
        writer.append(second)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def written(tmp_path):
    with TapeWriter(tmp_path / "t", INSTRUMENT) as writer:
        writer.append(rows(1, 2, 3))
    return tmp_path / "t"


def test_missing_tape_and_damaged_files_are_told_apart(written, tmp_path):
    with pytest.raises(NotFoundError, match=r"no meta\.json"):
        Tape.open(tmp_path / "nothing")
    for name in COLUMN_TYPES:
        copy = tmp_path / f"without_{name}"
        shutil.copytree(written, copy)
        (copy / name).unlink()
        with pytest.raises(DataError, match=f"lacks the column file '{name}'"):
            Tape.open(copy)
    os.truncate(written / "qty", 20)
    with pytest.raises(DataError, match="must have 24 bytes for 3 rows, has 20"):
        Tape.open(written)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"format_version": 99}, "tape format 99"),
        ({"rows": None}, "damaged"),
        ({"instrument": {"venue": "x"}}, "instrument"),
        ({"instrument": None}, "instrument"),
    ],
)
def test_damaged_meta_is_refused(written, change, match):
    meta = orjson.loads((written / "meta.json").read_bytes())
    (written / "meta.json").write_bytes(orjson.dumps({**meta, **change}))
    with pytest.raises(DataError, match=match):
        Tape.open(written)


def test_meta_that_is_no_json_is_refused(written):
    (written / "meta.json").write_text("{")
    with pytest.raises(DataError, match="damaged"):
        Tape.open(written)


def test_empty_tape_opens(tmp_path):
    TapeWriter(tmp_path / "t", INSTRUMENT).close()
    tape = Tape.open(tmp_path / "t")
    assert len(tape) == 0 and tape.start_ns == tape.end_ns == 0


def test_effective_receipt_never_falls_nor_precedes_the_venue():
    data = columns([(10, 15, 0, 1, 1, 1), (12, 11, 0, 1, 1, 1), (13, 20, 0, 1, 1, 1), (14, 0, 0, 1, 1, 1)])
    assert effective_receipt(data).tolist() == [15, 15, 20, 20]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 100), min_size=1, max_size=20), st.data())
def test_slicing_of_appends_does_not_show(tmp_path_factory, times, data):
    folder = tmp_path_factory.mktemp("tape")
    whole = rows(*sorted(times))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(times)), max_size=4)))
    parts = [whole.rows(a, b) for a, b in zip([0, *cuts], [*cuts, len(times)], strict=True)]
    with TapeWriter(folder / "t", INSTRUMENT) as writer:
        for part in parts:
            writer.append(part)
    read = Tape.open(folder / "t").data
    assert all((a == b).all() for a, b in zip(read, whole, strict=True))
    assert concatenate(parts).ts.tolist() == whole.ts.tolist()
