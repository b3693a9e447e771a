"""``tidewright optimize`` on the command line."""

import json
import re
import subprocess
import sys
from html import escape
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import tidewright as tw
from tests.engine.test_cluster import needs_ray
from tidewright.agents.executor.proposals import Gate
from tidewright.agents.executor.proposals import gate_reasons as judge_of_gate
from tidewright.agents.optimizer.space import Dimension
from tidewright.agents.optimizer.space_file import read_space
from tidewright.cli.optimize import optimize
from tidewright.coordination.payloads import Checks
from tidewright.market.errors import DataError, NotFoundError, TidewrightError, UsageError
from tidewright.market.synthetic import synthesize
from tidewright.risk.limits import Limits

RUNNER = CliRunner()
APP = typer.Typer()
APP.command()(optimize)
SMALL = ["--candidates", "32", "--generations", "2", "--maker-fee", "0.0001", "--epoch", "10m"]


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(synthesize(tmp_path_factory.mktemp("optimize") / "tape", hours=1.0, seed=3, rate=2.0).path)


def test_the_search_answers_with_finalists_in_and_out_of_sample(tape: str) -> None:
    arguments = ["--tape", tape, *SMALL, "--set", "spread_percentage=0.02", "--json"]
    result = RUNNER.invoke(APP, arguments)
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout.splitlines()[-1])
    assert answer["trials"] == 64 and answer["incumbent"]["spread_percentage"] == 0.02
    inside, outside = answer["in_sample"]["lanes"], answer["out_of_sample"]["lanes"]
    assert inside[-1]["params"] == outside[-1]["params"] == answer["incumbent"]
    assert inside[0]["score"] > inside[-1]["score"]
    assert answer["in_sample"]["window"]["end_ns"] < answer["out_of_sample"]["window"]["start_ns"]
    assert 0.0 <= answer["confidence_score"] <= 1.0
    assert "incumbent" in result.stderr and "out of sample" in result.stderr
    threaded = RUNNER.invoke(APP, [*arguments, "--threads", "2"])
    assert threaded.stdout == result.stdout, "the same again, wherever it ran"
    assert "judged in: 1 thread\n" in result.stderr and "judged in: 2 threads\n" in threaded.stderr


def test_from_python_it_is_the_same_search(tape: str) -> None:
    arguments = ["--tape", tape, *SMALL, "--set", "spread_percentage=0.02", "--limits", "--json"]
    answer = json.loads(RUNNER.invoke(APP, arguments).stdout.splitlines()[-1])
    done = tw.optimize(
        tw.Tape.open(tape),
        incumbent={"spread_percentage": 0.02},
        candidates=32,
        generations=2,
        fees=("0.0001", None),
        epoch="10m",
        limits=Limits(),
        threads=2,
    )
    assert done.proposal == answer["proposal"] and done.found.reason == answer["reason"] and done.ran == "2 threads"
    for found, told in ((done.found.inside, "in_sample"), (done.found.outside, "out_of_sample")):
        assert [lane.score for lane in found] == [lane["score"] for lane in answer[told]["lanes"]]
        assert [lane.params for lane in found] == [lane["params"] for lane in answer[told]["lanes"]]


def test_a_users_own_strategy_is_searched_over_the_ranges_it_declares(tape: str) -> None:
    example = str(Path(__file__).parents[2] / "examples" / "imbalance_maker.py")
    result = RUNNER.invoke(APP, ["--tape", tape, *SMALL, "--strategy", example, "--json"])
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout.splitlines()[-1])
    assert answer["strategy"] == f"{example}:imbalance_maker"
    assert all(0.0 <= lane["params"]["lean"] <= 2.0 for lane in answer["in_sample"]["lanes"])
    assert len({lane["params"]["skew"] for lane in answer["in_sample"]["lanes"]}) > 1


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        (["--strategy", "gird"], UsageError, "unknown strategy"),
        (["--set", "levels"], UsageError, "name=value"),
        (["--set", "levels=many"], UsageError, "name=value"),
        (["--set", "gamma=1"], UsageError, "no parameter"),
        (["--set", "spread_percentage=-0.1"], UsageError, "spread_percentage must be in"),
        (["--space", "levels=1:99:int"], UsageError, "within"),
        (["--cycle", "10m"], UsageError, "judging needs"),
        (["--cycle", "0s"], UsageError, "must be > 0"),
        (["--queue", "magic"], UsageError, "queue"),
        (["--queue", "prob", "--queue-power", "0"], UsageError, "queue_power must be > 0 and finite, was 0"),
        (["--queue-power", "2"], UsageError, "--queue-power is the exponent of --queue prob; risk_averse has none"),
        (["--maker-fee", "many"], UsageError, "--maker-fee"),
        (["--threads", "2", "--ray", "local"], UsageError, "give one of the two"),
    ],
)
def test_a_wrong_option_is_a_clear_error(tape: str, arguments: list[str], kind: type, words: str) -> None:
    result = RUNNER.invoke(APP, ["--tape", tape, *SMALL, *arguments])
    assert isinstance(result.exception, kind) and words in str(result.exception)
    assert isinstance(result.exception, TidewrightError) and result.exception.exit_code == 2


def test_a_missing_tape_is_not_found(tmp_path: Path) -> None:
    assert isinstance(RUNNER.invoke(APP, ["--tape", str(tmp_path)]).exception, NotFoundError)


@needs_ray
@pytest.mark.slow
def test_on_a_ray_of_two_workers_stdout_is_the_same_one_line(tape: str) -> None:
    command = [sys.executable, "-m", "tidewright", "optimize", "--tape", tape, "--json", "--candidates", "128"]
    alone, spread = (
        subprocess.run([*command, *where], capture_output=True, text=True, check=True, timeout=300)
        for where in (["--threads", "1"], ["--ray", "local"])
    )
    assert spread.stdout == alone.stdout and len(alone.stdout.splitlines()) == 1
    assert "judged in: Ray" in spread.stderr and "tape read by path" in spread.stderr


FRONT = ["--objectives", "return,sharpe,max_drawdown", "--constraints", "max_drawdown<=0.05,fills>=20"]


@pytest.fixture(scope="module")
def space_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("space") / "space.toml"
    path.write_text(
        '[parameters]\nspread_percentage = { low = 0.01, high = 0.5, kind = "log" }\nlevels = [1, 4, "int"]\n'
    )
    return str(path)


def front_arguments(tape: str, space_file: str, *more: str) -> list[str]:
    common = ["--tape", tape, "--space", space_file, *FRONT, "--maker-fee", "0.0001", "--epoch", "10m"]
    return [*common, "--sampler", "genetic", *more]


def test_a_front_keeps_its_constraints_and_a_study_goes_on_where_it_ended(
    tape: str, space_file: str, tmp_path: Path
) -> None:
    study, page = str(tmp_path / "study.json"), tmp_path / "page.html"
    part = RUNNER.invoke(APP, front_arguments(tape, space_file, "--candidates", "256", "--study", study, "--json"))
    assert part.exit_code == 0, part.output
    more = ["--candidates", "300", "--study", study, "--resume", "--html", str(page), "--json"]
    resumed = RUNNER.invoke(APP, front_arguments(tape, space_file, *more))
    whole = RUNNER.invoke(APP, front_arguments(tape, space_file, "--candidates", "300", "--json"))
    answer, same = (json.loads(result.stdout.splitlines()[-1]) for result in (resumed, whole))
    assert answer == same, "stopped and resumed, or in one go"
    assert answer["judged"] == answer["trials"] == 300
    assert answer["objectives"] == ["total_return:max", "sharpe:max", "max_drawdown:min"]
    for point in answer["front"]:
        assert point["fills"] >= 20 and point["max_drawdown"] <= 0.05
        assert not any(
            other["total_return"] > point["total_return"]
            and other["sharpe"] > point["sharpe"]
            and other["max_drawdown"] < point["max_drawdown"]
            for other in answer["front"]
        )
    text = page.read_text()
    assert "Surfaces" in text and "Front" in text and "http-equiv" not in text
    again = RUNNER.invoke(APP, front_arguments(tape, space_file, "--candidates", "300", "--study", study))
    assert isinstance(again.exception, UsageError) and "already" in str(again.exception)
    other = [*front_arguments(tape, space_file, "--study", study, "--resume"), "--set", "spread_percentage=0.3"]
    refused = RUNNER.invoke(APP, other)
    assert isinstance(refused.exception, UsageError) and "incumbent spread_percentage was 0.18, is now 0.3" in str(
        refused.exception
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--objectives", "beauty"], "no figure is called beauty"),
        (["--constraints", "fills>20"], "name<=bound"),
        (["--resume"], "needs the file"),
        (["--objectives", "return,total_return"], "an objective is named once"),
        (["--objectives", "return:max,return:min"], "an objective is named once"),
        (["--objectives", ""], "--objectives takes entries"),
        (["--constraints", "fills>=2,"], "--constraints takes entries"),
        (["--objectives", "return", "--constraints", "fills<=1,fills>=2"], "nothing can keep both"),
        (["--epoch", "0s"], "epoch must be > 0, was 0s"),
        (["--seed", str(2**64), "--json"], "the seed must be in"),
        (
            ["--objectives", "return", "--constraints", "fills>=1000000", "--candidates", "32"],
            "fills>=1e\\+06 is kept by 0",
        ),
        (["--time", "0s"], "seconds must be > 0"),
        (["--sampler", "magic", "--objectives", "return"], "sampler must be one of"),
        (["--space", "nowhere.toml"], "no space file"),
    ],
)
def test_a_front_that_cannot_be_is_refused(tape: str, arguments: list[str], words: str) -> None:
    result = RUNNER.invoke(APP, ["--tape", tape, *arguments])
    assert isinstance(result.exception, TidewrightError), result.output
    assert re.search(words, str(result.exception)), str(result.exception)


def test_where_nothing_can_be_written_nothing_is_searched(tape: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for option in ("--html", "--study"):
        for path in (tmp_path, tmp_path / "file" / "x"):
            result = RUNNER.invoke(APP, ["--tape", tape, option, str(path)])
            assert isinstance(result.exception, UsageError) and result.exception.exit_code == 2
            assert "cannot write" in str(result.exception) and result.stderr == ""


def test_an_empty_objective_is_refused_from_python_too(tape: str) -> None:
    with pytest.raises(UsageError, match="at least one objective"):
        tw.optimize(tw.Tape.open(tape), objectives=[])


@pytest.mark.parametrize(("spread", "accepted"), [("0.01", False), ("0.02", True)])
def test_checks_assumptions_and_what_the_gate_says_are_told_everywhere(
    tape: str, tmp_path: Path, spread: str, accepted: bool
) -> None:
    page = tmp_path / "made" / "page.html"
    given = ["--set", f"spread_percentage={spread}", "--space", "spread_percentage=0.005:0.06"]
    arguments = ["--tape", tape, *SMALL, *given, "--html", str(page), "--json"]
    result = RUNNER.invoke(APP, arguments)
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout.splitlines()[-1])
    assert answer["proposal"] is not None, "the case that the gate is for"
    checks, gate, assumed = answer["checks"], answer["gate"], answer["assumptions"]
    assert checks["deflated_sharpe"] == pytest.approx(answer["validation"]["deflated"], abs=1e-6)
    assert (checks["paired_lower"], checks["paired_upper"]) == (answer["paired"]["lower"], answer["paired"]["upper"])
    judged = judge_of_gate(Checks(**checks), Gate())
    unsure = answer["confidence_score"] < gate["thresholds"]["confidence"]
    assert gate["accepted"] is accepted and accepted == (not judged and not unsure)
    assert gate["reasons"][unsure:] == judged and unsure == any("confidence" in why for why in gate["reasons"])
    assert gate["thresholds"]["min_deflated_sharpe"] == 0.01
    assert (assumed["maker_fee"], assumed["entry_latency_ms"], assumed["queue"]) == (0.0001, 50.0, "risk_averse")
    assert assumed["tape"]["path"] == tape and assumed["cycle_s"] == 30.0 and assumed["rules"]
    said = "would take it" if gate["accepted"] else "would not take it: "
    for text in (result.stderr.replace("\n", " "), page.read_text()):
        assert f"the executor, with its default thresholds, {said}" in text
        assert "deflated Sharpe ratio" in text and "fees 0.0100% maker" in text
        assert all(escape(why) in text or why in text for why in gate["reasons"])


def test_without_a_proposal_there_is_no_verdict(tape: str) -> None:
    result = RUNNER.invoke(APP, ["--tape", tape, *SMALL, "--set", "base_quantity=0", "--json"])
    answer = json.loads(result.stdout.splitlines()[-1])
    assert answer["gate"] is None and answer["checks"] is None and answer["reason"]
    assert "the executor, with" not in result.stderr


def test_what_follows_the_search_is_named(tape: str) -> None:
    told: list[str] = []
    tw.optimize(
        tw.Tape.open(tape), incumbent={"spread_percentage": 0.02}, candidates=32, stage=told.append, slices=True
    )
    assert told == [
        "the best in and out of sample",
        "the neighbours of the chosen one",
        "the validation of the choice",
        "slices around the best",
    ]


@pytest.mark.parametrize(
    ("name", "text"), [("s.json", '{"levels": [1, 3, "int"]}'), ("s.yaml", "levels: [1, 3, int]\n")]
)
def test_a_space_is_read_from_json_and_yaml(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    assert read_space(tmp_path / name).dimensions == (Dimension("levels", 1, 3, "int"),)


@pytest.mark.parametrize(
    ("name", "text"), [("s.json", "{"), ("s.toml", "a ="), ("s.yaml", "a: ["), ("s.ini", "a"), ("s.json", "{}")]
)
def test_a_broken_space_file_is_named(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match="space file"):
        read_space(tmp_path / name)
