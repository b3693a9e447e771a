"""``tidewright data synth --like``, ``--scenario`` and ``data compare``."""

import json

import pytest

from tests.cli.test_data import run  # noqa: F401  # the fixture
from tidewright.market.synthetic import synthesize


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    path = tmp_path_factory.mktemp("like") / "base"
    synthesize(path, hours=1, seed=3)
    return path


def test_a_market_like_a_tape_with_regimes_and_a_crash_tells_how_like_it_is(run, base, tmp_path):  # noqa: F811
    words = ("--like", base, "--hours", "0.5", "--seed", "5", "--rounds", "1")
    made = run("synth", *words, "--out", tmp_path / "a", "--json")
    again = run("synth", *words, "--out", tmp_path / "b", "--json")
    crash = run(
        "synth", *words, "--out", tmp_path / "c", "--regimes", "switching", "--scenario", "flash-crash:duration=5m"
    )
    assert made.code == again.code == crash.code == 0, made.stderr + crash.stderr
    assert "LOB-Bench" in crash.stdout and "kurtosis" in crash.stdout and "flash-crash" in crash.stdout
    told = json.loads(made.stdout)
    assert told["notes"]["like"]["orders"] > 2_000 and told["comparison"]["scores"]["spread"]["real_count"] > 0
    assert (tmp_path / "a" / "price").read_bytes() == (tmp_path / "b" / "price").read_bytes()
    for name in "ac":
        checked = json.loads(run("check", tmp_path / name, "--json").stdout)
        assert checked["usable"] and checked["figures"]["book"]["packets"]["crossed"] == 0


def test_a_crash_does_not_count_in_how_like_the_market_is(run, base, tmp_path):  # noqa: F811
    words = ("--like", base, "--hours", "0.5", "--seed", "5", "--rounds", "1")
    plain = json.loads(run("synth", *words, "--out", tmp_path / "a", "--json").stdout)["comparison"]
    crash = run("synth", *words, "--out", tmp_path / "b", "--scenario", "flash-crash:duration=5m", "--json")
    made = json.loads(crash.stdout)["comparison"]
    assert "scenario" not in plain and made["scenario"]["measured"] is False
    assert made["scenario"]["name"] == "flash-crash" and made["left_out"][1] - made["left_out"][0] == 300 * 10**9 + 1
    whole = json.loads(run("compare", base, tmp_path / "b", "--json").stdout)
    distance = {name: found["summary"]["mean_wasserstein"] for name, found in (("plain", plain), ("made", made))}
    assert distance["made"] < 1.2 * distance["plain"]
    assert whole["summary"]["mean_wasserstein"] > 1.5 * distance["made"] and whole["scenario"]["measured"] is True
    assert "these figures include the scenario flash-crash, 20" in run("compare", base, tmp_path / "b").stdout


def test_a_crash_that_leaves_too_little_beside_it_is_said_to_count(run, base, tmp_path):  # noqa: F811
    words = ("--like", base, "--hours", "0.2", "--seed", "5", "--rounds", "0")
    made = run("synth", *words, "--out", tmp_path / "t", "--scenario", "flash-crash:duration=30m,at=0")
    assert made.code == 0 and "these figures include the scenario flash-crash" in made.stdout
    words = (*words[:2], "--hours", "1", *words[4:])
    made = run("synth", *words, "--out", tmp_path / "u", "--scenario", "flash-crash:duration=5m")
    assert made.code == 0 and "these figures leave out the scenario flash-crash" in made.stdout


def test_compare_of_a_tape_with_itself_is_all_zero(run, base):  # noqa: F811
    told = json.loads(run("compare", base, base, "--json").stdout)
    assert told["summary"]["mean_l1"] == 0 and told["summary"]["facts_far"] == 0
    assert "mean L1 0" in run("compare", base, base).stdout


def test_a_scenario_goes_with_the_plain_market(run, tmp_path):  # noqa: F811
    done = run(
        "synth", "--out", tmp_path / "t", "--hours", "0.2", "--scenario", "liquidity-drain:duration=2m", "--json"
    )
    assert done.code == 0 and json.loads(done.stdout)["notes"]["scenario"]["depth"] == 0.1


def test_mistakes_get_one_line_and_leave_nothing(run, base, tmp_path):  # noqa: F811
    out = ("--out", tmp_path / "t")
    cases = [
        (2, "--like", (*out, "--regimes", "calm")),
        (2, "--rounds needs --like", (*out, "--rounds", "3")),
        (2, "--rate", (*out, "--like", base, "--rate", "3")),
        (2, "regimes must be", (*out, "--like", base, "--regimes", "odd")),
        (2, "scenario must be", (*out, "--scenario", "odd")),
        (2, "hours", (*out, "--like", base, "--hours", "0", "--rounds", "0")),
        (6, "no tape", (*out, "--like", tmp_path / "none")),
        (2, "already exists", ("--out", base, "--like", base)),
    ]
    for code, word, words in cases:
        done = run("synth", *words)
        assert (done.code, word in done.stderr, "Traceback" in done.stderr) == (code, True, False), done.stderr
    assert list(tmp_path.iterdir()) == []
