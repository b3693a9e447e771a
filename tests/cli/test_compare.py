"""``tidewright compare`` on the command line."""

import json
from pathlib import Path

import pytest

from tidewright.cli.main import main
from tidewright.market.synthetic import synthesize


def call(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["compare", *map(str, words)])
    shown = capsys.readouterr()
    return int(ended.value.code or 0), shown.out, shown.err


def test_json_is_the_last_line_and_a_page_is_written(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    synthesize(tmp_path / "tape", hours=2.5, seed=11)
    few = ("--candidates", "8", "--generations", "1", "--fees", "2", "--learning", "1", "--window", "35m")
    code, out, err = call(capsys, "--tape", tmp_path / "tape", *few, "--json", "--html", tmp_path / "page.html")
    answer = json.loads(out.splitlines()[-1])
    assert code == 0
    assert [found["maker_bp"] for found in answer["comparisons"]] == [2.0]
    names = [row["name"] for row in answer["comparisons"][0]["contenders"]]
    assert names == ["traditional", "tuned A-S", "tuned GLFT", "optimizer", "RL", "RL + optimizer"]
    assert all(name in err for name in names)
    page = (tmp_path / "page.html").read_text()
    assert all(name in page for name in names) and "hoped for" in page


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--fees", "a"], "--fees takes basis points"),
        (["--contender", "x"], "a contender is"),
        (["--only"], "--only needs"),
        (["--html", "nowhere/page.html"], "there is no folder"),
    ],
)
def test_a_mistake_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str], message: str
) -> None:
    code, out, err = call(capsys, "--tape", tmp_path / "none", *words)
    assert (code, out) == (2, "")
    assert message in err and len(err.splitlines()) == 1
