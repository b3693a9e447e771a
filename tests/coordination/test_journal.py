"""The journal: in order, append-only, and whole after a crash."""

import json
from pathlib import Path

import pytest

from tests.coordination.test_messages import PROPOSAL
from tidewright.coordination.journal import Journal, read
from tidewright.coordination.messages import validate
from tidewright.market.errors import DataError, NotFoundError

MESSAGE = validate(json.dumps(PROPOSAL))


def test_what_was_written_is_read_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "journal.jsonl"
    with Journal(path) as journal:
        assert journal.append("received", 1_000_000, MESSAGE) == 1
        assert journal.append("refused", 2_000_000, "not JSON \ud800", "no message") == 2
        entries = list(read(path))  # already there before the journal is closed
    assert [(entry.seq, entry.event, entry.at) for entry in entries] == [
        (1, "received", "1970-01-01T00:00:00.001Z"),
        (2, "refused", "1970-01-01T00:00:00.002Z"),
    ]
    assert entries[0].message == MESSAGE
    assert entries[1].message is None and entries[1].reason == "no message"


def test_a_torn_last_line_is_cut_off_and_numbering_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        journal.append("sent", 0, MESSAGE)
        journal.append("sent", 0, MESSAGE)
    path.write_bytes(path.read_bytes()[:-5])
    assert len(list(read(path))) == 1
    with Journal(path, fsync=False) as journal:
        assert journal.seq == 1
        assert journal.append("sent", 0, MESSAGE) == 2
    assert [entry.seq for entry in read(path)] == [1, 2]


def test_a_damaged_line_in_the_middle_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        for _ in range(3):
            journal.append("sent", 0, MESSAGE)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"{}\n" + lines[2])
    with pytest.raises(DataError, match="line 2"):
        list(read(path))
    path.write_bytes(lines[0] + lines[2])
    with pytest.raises(DataError, match="must have seq 2"):
        Journal(path)


def test_a_missing_journal_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        list(read(tmp_path / "none"))
