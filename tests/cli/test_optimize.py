"""``tidewright optimize`` on the command line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import tidewright as tw
from tests.engine.test_cluster import needs_ray
from tidewright.cli.optimize import optimize
from tidewright.market.errors import NotFoundError, TidewrightError, UsageError
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
