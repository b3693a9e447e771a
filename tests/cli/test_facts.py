"""``tidewright data facts`` on the command line."""

import json
from pathlib import Path

import pytest

from tests.interface.facts_markets import independent
from tidewright.cli.main import main
from tidewright.market.tape_writer import TapeWriter

FEW = ("--orders", "2000", "--lanes", "12")


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("facts") / "tape"
    source = independent(minutes=12)
    with TapeWriter(path, source.instrument, detail="made") as writer:
        writer.append(source.data)
    return path


def call(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["data", "facts", *map(str, words)])
    shown = capsys.readouterr()
    return int(ended.value.code or 0), shown.out, shown.err


def test_json_is_the_last_line_and_a_page_is_written(
    capsys: pytest.CaptureFixture[str], tape: Path, tmp_path: Path
) -> None:
    code, out, err = call(capsys, tape, *FEW, "--json", "--html", tmp_path / "facts.html", "--strict")
    answer = json.loads(out.splitlines()[-1])
    assert code == 1, "a market that pays its makers is not as expected"
    assert answer["facts"]["symmetric_maker"]["verdict"] == "not as expected"
    assert "too few observations" in err and "Mark-out" in err
    assert "Facts about fills" in (tmp_path / "facts.html").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["facts.html"]


def test_mistakes_get_one_line_and_an_exit_code(capsys: pytest.CaptureFixture[str], tape: Path, tmp_path: Path) -> None:
    cases = [
        (6, "no tape", (tmp_path / "none",)),
        (2, "queue", (tape, "--queue", "front")),
        (2, "unknown queue", (tape, "--queue", "tea")),
        (2, "lanes", (tape, "--lanes", "2")),
        (2, "duration", (tape, "--life", "soon")),
        (2, "cannot write the page", (tape, "--html", tape / "meta.json" / "page.html")),
    ]
    for code, word, words in cases:
        done = call(capsys, *words)
        assert (done[0], word in done[2], "Traceback" in done[2]) == (code, True, False), done
        assert done[1] == "" and done[2].count("\n") == 1
