import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tidewright.agents.executor.learning.evolution import Evolution, EvolutionSettings
from tidewright.agents.executor.policy import Policy
from tidewright.agents.executor.policy_run import settings_of
from tidewright.cli.main import main
from tidewright.cli.training_markets import training_markets
from tidewright.market.errors import UsageError
from tidewright.market.synthetic import synthesize
from tidewright.market.tape import Tape

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
        (["--out", str(Path(__file__) / "policy.tw"), "--synthetic"], "cannot write the policy to"),
        (["--out", str(out), "--synthetic", "--device", "abacus"], "device must be"),
        (["--out", str(out), "--synthetic", "--fees", "free"], "--fees takes basis points"),
        (["--out", str(out), "--synthetic", "--queues", "polite"], "unknown queue model"),
        (["--out", str(out), "--synthetic", "--regimes", "calm"], "--regimes needs --like"),
        (["--out", str(out), "--synthetic", "--curriculum", "2"], "curriculum must be in"),
        (["--out", str(out), "--synthetic", "--fees", "nan"], "--fees takes basis points"),
        (["--out", str(out), "--synthetic", "--fees", "0,inf"], "--fees takes basis points"),
        (["--out", str(out), "--synthetic", "--fees", "20000"], "each from -10000 to 10000, was '20000'"),
        (["--out", str(out), "--synthetic", "--fees", "0,0"], "--fees takes each value once, was '0,0'"),
        (["--out", str(out), "--synthetic", "--latency", "50ms,0.05s"], "--latency takes each value once"),
        (["--out", str(out), "--synthetic", "--latency", "50ms,60s"], "latencies must be at most a cycle (30 s)"),
        (["--out", str(out), "--synthetic", "--queues", "prob,prob"], "--queues takes each value once"),
        (["--out", str(out), "--synthetic", "--capital", "nan"], "capital must be > 0"),
        (["--out", str(out), "--tape", "t", "--like", "t"], "go with --synthetic"),
        (["--out", str(out), "--tape", "t", "--regimes", "calm"], "go with --synthetic"),
    ]
    for command in ("train", "evolve"):
        for words, message in wrong:
            if command == "train" or "--device" not in words:
                assert run([command, *words]) == 2
                assert message in capsys.readouterr().err
    assert run(["evolve", "--out", str(out), "--synthetic", "--sigma", "inf"]) == 2
    assert "sigma and rate must be > 0 and finite" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words", [["train", "--cohorts", "2", "--iterations", "1"], ["evolve", "--generations", "1", "--stretches", "1"]]
)
def test_a_tape_that_is_too_short_leaves_nothing_in_the_way_of_the_corrected_call(tmp_path, capsys, words):
    tape, out = tmp_path / "tape", tmp_path / "policy.tw"
    synthesize(tape, hours=0.3)
    words = [*words, "--tape", str(tape), "--out", str(out), "--lanes", "4", "--cycle", "10s"]
    assert run(words) == 2
    assert "the tape is" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [tape]
    assert run([*words, "--episode", "8"]) == 0
    assert out.is_file()


@pytest.mark.parametrize(
    "words", [["train", "--cohorts", "2", "--iterations", "1"], ["evolve", "--generations", "1", "--stretches", "1"]]
)
def test_a_folder_with_another_training_is_refused_and_one_that_never_got_to_a_checkpoint_is_not(
    tmp_path, capsys, words
):
    tape, out = tmp_path / "tape", tmp_path / "policy.tw"
    synthesize(tape, hours=0.3)
    words = [*words, "--tape", str(tape), "--out", str(out), "--lanes", "4", "--cycle", "10s", "--episode", "8"]
    folder = tmp_path / "policy.tw.training"
    folder.mkdir()
    (folder / "training.json").write_text("{}")
    assert run([*words, "--fees", "1"]) == 0
    first = out.read_bytes()
    capsys.readouterr()
    assert run([*words, "--fees", "2"]) == 2
    assert "holds a training with other settings or data" in capsys.readouterr().err
    assert out.read_bytes() == first


def test_several_evolutions_make_an_ensemble_of_what_each_seed_makes_alone_and_go_on_where_they_stopped(
    tmp_path, capsys
):
    tape = tmp_path / "tape"
    synthesize(tape, hours=0.3)
    small = ["--tape", str(tape), "--lanes", "4", "--stretches", "1", "--episode", "8", "--cycle", "10s"]
    small += ["--generations", "6", "--hidden", "3", "--fees", "0,1,2", "--curriculum", "0.5", "--json"]

    def made(name: str, *more: str):
        assert run(["evolve", "--out", str(tmp_path / name), *small, *more]) == 0
        out, err = capsys.readouterr()
        return Policy.load(tmp_path / name), last_line(out), err

    both, answer, told = made("both.tw", "--seeds", "2", "--seed", "3")
    assert (len(both.members), both.header["seeds"]) == (2, [3, 4])
    assert "seed 3: generation 5: reward" in told and "seed 4: generation 5: reward" in told
    assert answer["command"] == both.header["command"] and "--seeds 2 --seed 3" in answer["command"]
    assert "--curriculum 0.5" in answer["command"] and both.header["learner"]["curriculum"] == 0.5
    assert {seed: done["number"] for seed, done in answer["seeds"].items()} == {"3": 6, "4": 6}
    rows = (tmp_path / "both.tw.training" / "seed-4.csv").read_text().splitlines()
    assert len(rows) == 7

    # each is what its seed makes alone
    alone = [made(f"{seed}.tw", "--seed", str(seed))[0].members[0] for seed in (3, 4)]
    assert weights(*both.members) == weights(*alone)
    assert weights(alone[0]) != weights(alone[1])

    # the first seed done, the second after its first checkpoint: as if it had never stopped
    folder = tmp_path / "again.tw.training"
    shutil.copytree(tmp_path / "both.tw.training", folder)
    evolution = Evolution([Tape.open(tape)], settings_of(both), EvolutionSettings(**learner_of(both)), 4)
    for _ in range(5):
        evolution.generation()
    evolution.save(folder / "seed-4.npz")
    again, answer, _ = made("again.tw", "--seeds", "2", "--seed", "3")
    assert weights(*again.members) == weights(*both.members)
    assert {seed: done["number"] for seed, done in answer["seeds"].items()} == {"4": 6}
    assert (folder / "seed-4.csv").read_text().splitlines() == rows


def weights(*networks) -> list[bytes]:
    return [array.tobytes() for one in networks for array in (*one.weights, *one.biases)]


def learner_of(policy: Policy) -> dict:
    told = {name: value for name, value in policy.header["learner"].items() if name != "method"}
    return {**told, "ignored": tuple(told["ignored"])}


@pytest.mark.slow
def test_a_policy_evolves_on_markets_like_a_tape_in_regimes(tmp_path, capsys):
    tape = tmp_path / "tape"
    synthesize(tape, hours=0.5)
    small = ["--lanes", "4", "--stretches", "1", "--episode", "8", "--cycle", "10s", "--generations", "1"]
    like = ["--synthetic", "--like", str(tape), "--regimes", "calm,volatile", "--hours", "0.2", "--markets", "2"]
    assert run(["evolve", "--out", str(tmp_path / "p.tw"), *small, *like]) == 0
    header = Policy.load(tmp_path / "p.tw").header
    assert [one["source"].rsplit(" ", 1)[1] for one in header["data"]] == ["calm", "volatile"]
    assert f"--like {tape} --regimes calm,volatile" in header["command"]


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
