import json

import numpy as np
import pytest

from tidewright.cli.main import main
from tidewright.cli.training_markets import training_markets
from tidewright.market.errors import UsageError
from tidewright.market.synthetic import synthesize

pytest.importorskip("torch")

SMALL = ["--iterations", "1", "--lanes", "4", "--cohorts", "2", "--episode", "8", "--cycle", "10s"]


def run(words: list[str]) -> int:
    with pytest.raises(SystemExit) as ended:
        main(words)
    return int(ended.value.code or 0)


def last_line(text: str) -> dict:
    return json.loads(text.splitlines()[-1])


def test_a_trained_policy_is_a_file_that_backtests_and_says_how_it_was_made(tmp_path, capsys):
    tape, policy = tmp_path / "tape", tmp_path / "policy.tw"
    synthesize(tape, hours=0.5)
    assert (
        run(["train", "--tape", str(tape), "--out", str(policy), *SMALL, "--frames", "2", "--seeds", "2", "--json"])
        == 0
    )
    answer = last_line(capsys.readouterr().out)
    assert set(answer["seeds"]) == {"0", "1"}
    assert len(answer["data"][0]["sha256"]) == 64
    with np.load(policy) as file:
        header = json.loads(bytes(file["header"]))
    assert header["command"] == answer["command"]
    assert header["environment"]["cycle_ns"] == 10_000_000_000
    assert (header["members"], header["seeds"], header["frames"]) == (2, [0, 1], 2)

    assert run(["backtest", "--tape", str(tape), "--policy", str(policy), "--maker-fee", "0", "--json"]) == 0
    found = last_line(capsys.readouterr().out)
    assert found["assumptions"]["maker_fee"] == 0
    assert found["assumptions"]["entry_latency_ms"] == 20
    assert found["assumptions"]["limits"] is not None
    assert found["statistics"]["n_samples"] == 180
    assert found["params"]["base_quantity"] > 0

    assert run(["evaluate", "--tape", str(tape), "--policy", str(policy), "--fees", "1", "--json"]) == 0
    judged = last_line(capsys.readouterr().out)
    assert judged["learned_on_this_tape"] is True
    assert [row["who"] for row in judged["rows"]] == ["policy", "glft"]

    # an examination needs another tape, and stays with the file
    words = ["evaluate", "--policy", str(policy), "--fees", "0,1"]
    assert run([*words, "--tape", str(tape), "--examine"]) == 2
    assert "the policy learned on" in capsys.readouterr().err
    assert run([*words, "--tape", str(tape), "--html", "page.html"]) == 2
    assert "go with --examine" in capsys.readouterr().err
    other, kept, shown = tmp_path / "other", tmp_path / "examined.tw", tmp_path / "page.html"
    synthesize(other, hours=0.4, seed=9)
    more = ["--tape", str(other), "--examine", "--date", "2026-01-02", "--out", str(kept), "--html", str(shown)]
    assert run([*words, *more, "--json"]) == 0
    said = last_line(capsys.readouterr().out)
    assert {one["name"] for one in said["examinations"]} == {
        "leak", "fair_game", "seeds", "fees", "ablations", "behaviour"
    }  # fmt: skip
    assert said["may_be_seated"] is (said["reasons"] == []) is False
    assert said["examined"]["command"].startswith("tidewright evaluate --examine --tape")
    with np.load(kept) as file:
        (report,) = json.loads(bytes(file["header"]))["examinations"]
    assert report == {**said["examined"], "results": said["examinations"]}
    assert "stance" in shown.read_text("utf-8")

    # the same command again finds everything done
    first = policy.read_bytes()
    assert (
        run(["train", "--tape", str(tape), "--out", str(policy), *SMALL, "--frames", "2", "--seeds", "2", "--json"])
        == 0
    )
    assert policy.read_bytes() == first


def test_mistakes_are_one_line_and_leave_nothing_behind(tmp_path, capsys):
    out = tmp_path / "policy.tw"
    wrong = [
        (["--out", str(out)], "give either --tape"),
        (["--out", str(tmp_path / "no" / "policy.tw"), "--synthetic"], "there is no folder"),
        (["--out", str(out), "--synthetic", "--device", "abacus"], "device must be"),
        (["--out", str(out), "--synthetic", "--fees", "free"], "--fees takes basis points"),
        (["--out", str(out), "--synthetic", "--queues", "polite"], "unknown queue model"),
        (["--out", str(out), "--synthetic", "--regimes", "calm"], "--regimes needs --like"),
        (["--out", str(out), "--synthetic", "--curriculum", "2"], "curriculum must be in"),
    ]
    for words, message in wrong:
        assert run(["train", *words]) == 2
        assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_markets_like_a_tape_take_their_regimes_in_turn(tmp_path):
    tape = tmp_path / "tape"
    synthesize(tape, hours=0.5)
    found = training_markets(3, 0.2, tape, "calm,volatile")
    assert [one.meta["source"].rsplit(" ", 1)[1] for one in found] == ["calm", "volatile", "calm"]
    assert len({one.data.price.tobytes() for one in found}) == 3
    again = training_markets(1, 0.2, tape, "calm")
    assert again[0].data.price.tobytes() == found[0].data.price.tobytes()


def test_an_unknown_regime_is_refused(tmp_path):
    synthesize(tmp_path / "tape", hours=0.1)
    with pytest.raises(UsageError, match="regimes must be one of"):
        training_markets(1, 0.2, tmp_path / "tape", "sunny")


def test_a_policy_and_a_strategy_cannot_be_run_at_once(tmp_path, capsys):
    tape = tmp_path / "tape"
    synthesize(tape, hours=0.1)
    assert run(["backtest", "--tape", str(tape), "--policy", str(tmp_path / "p.tw"), "--strategy", "glft"]) == 2
    assert "cannot be given with --policy" in capsys.readouterr().err
    assert run(["backtest", "--tape", str(tape), "--policy", str(tmp_path / "p.tw")]) == 6
