"""``tidewright compare`` on the command line."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tidewright.agents.executor.policy import Policy
from tidewright.agents.executor.policy_run import tape_hash
from tidewright.cli.main import main
from tidewright.cli.seat_option import shipped
from tidewright.market.synthetic import synthesize

FEW = ("--candidates", "8", "--generations", "1", "--fees", "2", "--learning", "1", "--window", "35m")
SHIPPED = Policy.load(shipped())


def call(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["compare", *map(str, words)])
    shown = capsys.readouterr()
    return int(ended.value.code or 0), shown.out, shown.err


def test_json_is_the_last_line_and_a_page_is_written(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    synthesize(tmp_path / "tape", hours=2.5, seed=11)
    code, out, err = call(capsys, "--tape", tmp_path / "tape", *FEW, "--json", "--html", tmp_path / "new" / "page.html")
    answer = json.loads(out.splitlines()[-1])
    assert code == 0
    assert [found["maker_bp"] for found in answer["comparisons"]] == [2.0]
    names = [row["name"] for row in answer["comparisons"][0]["contenders"]]
    assert names == ["traditional", "tuned A-S", "tuned GLFT", "optimizer", "RL", "RL + optimizer"]
    assert all(name in err for name in names)
    page = (tmp_path / "new" / "page.html").read_text()
    assert all(name in page for name in names) and "hoped for" in page


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--fees", "a"], "--fees takes basis points"),
        (["--contender", "x"], "a contender is"),
        (["--only"], "--only needs"),
        (["--policy", "base"], "the base rule competes as a contender"),
    ],
)
def test_a_mistake_in_the_options_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str], message: str
) -> None:
    code, out, err = call(capsys, "--tape", tmp_path / "none", *words)
    assert (code, out) == (2, "")
    assert message in err and len(err.splitlines()) == 1


def test_a_mistake_beside_a_tape_is_one_line_with_what_would_be_right(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    synthesize(tmp_path / "tape", hours=2.5, seed=11)
    (tmp_path / "none.tw").write_text("nothing")
    for words, message in (
        (("--fees", "nan"), "between -10000 and 10000, each once, as in 0,1,2,4,8; were nan"),
        (("--fees", "0,2,2"), "each once, as in 0,1,2,4,8; were 0, 2, 2"),
        (("--fees", "20000"), "between -10000 and 10000"),
        (("--policy", tmp_path / "none.tw"), "none.tw is not a policy: not a whole file of arrays with a header"),
        (("--window", "10h"), "a window must be 600 to 2220 s long (20 to 74 cycles) on tape, was 36000 s"),
        (("--window", "0s"), "a window must be 600 to 2220 s long"),
        (("--capital", "0"), "capital must be > 0"),
        (("--html", "."), "cannot write the page to .: it is a folder"),
        (("--html", tmp_path / "none.tw" / "page.html"), "cannot write the page to"),
    ):
        code, out, err = call(capsys, "--tape", tmp_path / "tape", *FEW, *words)
        assert (code, out) == (2, ""), words
        assert message in err and len(err.splitlines()) == 1, err


def test_a_policy_that_learned_on_the_tape_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    learned = synthesize(tmp_path / "learned", hours=2.5, seed=11)
    header = {**SHIPPED.header, "data": [{"rows": len(learned), "sha256": tape_hash(learned), "source": "x"}]}
    replace(SHIPPED, header=header).save(tmp_path / "own.tw")
    code, out, err = call(capsys, "--tape", tmp_path / "learned", "--policy", tmp_path / "own.tw", *FEW)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert f"the policy learned on {tmp_path / 'learned'} until" in err
