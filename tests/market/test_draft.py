"""What a killed writer of a tape leaves is removed by the next of the same name, and nothing else ever is."""

import gzip
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tidewright.market.codes import PACKET_END, TRADE_BUY
from tidewright.market.draft import Draft
from tidewright.market.errors import UsageError
from tidewright.market.instrument import Instrument
from tidewright.market.tape import Tape, columns
from tidewright.market.tape_writer import TapeWriter

INSTRUMENT = Instrument("x", "BTCUSDT", "BTC", "USDT", "0.01", "0.001")
T0 = 1_700_000_000_000  # ms


def importing(folder: Path, name: str = "tape") -> tuple[subprocess.Popen[bytes], Path]:
    """``tidewright data import`` of a long file, while it writes; the process and its draft."""
    file = folder / "BTCUSDT-trades-2023-11-14.csv.gz"
    if not file.exists():
        rows = "".join(f"{i},{100 + i % 3},1.5,150,{T0 + i},{i % 2 == 0},True\n" for i in range(400_000))
        file.write_bytes(gzip.compress(rows.encode(), 1))
    words = ["data", "import", "--format", "binance-dumps", "--out", str(folder / name), str(file)]
    process = subprocess.Popen([sys.executable, "-m", "tidewright", *words], stderr=subprocess.PIPE)
    while not (found := list(folder.glob(f".{name}.partial-{process.pid}/writing"))):
        assert process.poll() is None
        time.sleep(0.002)
    return process, found[0].parent


def drafts(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if ".partial-" in path.name)


def write(path: Path) -> None:
    with TapeWriter(path, INSTRUMENT) as writer:
        writer.append(columns([(T0 * 10**6, 0, TRADE_BUY, PACKET_END, 100, 1)]))


def test_what_a_killed_import_left_is_removed_by_the_next_one_to_the_same_name(tmp_path: Path) -> None:
    process, draft = importing(tmp_path)
    process.kill()
    process.communicate()
    assert drafts(tmp_path) == [draft.name] and not (tmp_path / "tape").exists()
    write(tmp_path / "other")
    assert drafts(tmp_path) == [draft.name], "of another name"
    again, _ = importing(tmp_path)
    assert drafts(tmp_path) == [f".tape.partial-{again.pid}"]
    _, said = again.communicate(timeout=60)
    assert again.returncode == 0 and len(Tape.open(tmp_path / "tape")) == 400_000
    assert drafts(tmp_path) == [] and f"removed {draft}" in said.decode()
    assert sorted(path.name for path in (tmp_path / "tape").iterdir()) == sorted(
        ["ts", "ts_local", "kind", "flags", "price", "qty", "meta.json"]
    )


def test_the_draft_of_a_process_that_still_writes_stays_and_the_later_one_is_refused(tmp_path: Path) -> None:
    process, draft = importing(tmp_path)
    os.kill(process.pid, signal.SIGSTOP)
    before = {file.name: file.stat().st_size for file in draft.iterdir()}
    write(tmp_path / "tape")
    assert {file.name: file.stat().st_size for file in draft.iterdir()} == before
    os.kill(process.pid, signal.SIGCONT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2 and "exists by now" in said.decode()
    assert drafts(tmp_path) == [] and len(Tape.open(tmp_path / "tape")) == 1


@pytest.mark.parametrize("strange", ["foreign file", "another machine", "no lock", "a link", "another name"])
def test_what_is_not_certainly_ours_is_left_alone(strange: str, tmp_path: Path) -> None:
    process, draft = importing(tmp_path)
    process.kill()
    process.communicate()
    if strange == "foreign file":
        (draft / "notes.txt").write_text("mine")
    elif strange == "another machine":
        (draft / "writing").write_text("elsewhere")
    elif strange == "no lock":
        (draft / "writing").unlink()
    elif strange == "a link":
        (tmp_path / "kept").mkdir()
        draft.rename(tmp_path / "kept" / "real")
        draft.symlink_to(tmp_path / "kept" / "real")
    else:
        draft = draft.rename(tmp_path / ".tape.partial-copy")
    before = sorted(file.name for file in draft.iterdir())
    write(tmp_path / "tape")
    assert sorted(file.name for file in draft.iterdir()) == before


def test_two_writers_of_one_process_do_not_share_a_draft(tmp_path: Path) -> None:
    first, second = Draft(tmp_path / "tape", ()), Draft(tmp_path / "tape", ())
    assert first.folder != second.folder and first.folder.is_dir()
    second.remove()
    first.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_was_taken_meanwhile_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exists by now"), TapeWriter(tmp_path / "tape", INSTRUMENT):
        write(tmp_path / "tape")
    assert drafts(tmp_path) == [] and len(Tape.open(tmp_path / "tape")) == 1
