"""``tidewright optimize`` on the command line."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tidewright.cli.optimize import optimize
from tidewright.market.errors import NotFoundError, TidewrightError, UsageError
from tidewright.market.synthetic import synthesize

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
    assert RUNNER.invoke(APP, arguments).stdout == result.stdout


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
    ],
)
def test_a_wrong_option_is_a_clear_error(tape: str, arguments: list[str], kind: type, words: str) -> None:
    result = RUNNER.invoke(APP, ["--tape", tape, *SMALL, *arguments])
    assert isinstance(result.exception, kind) and words in str(result.exception)
    assert isinstance(result.exception, TidewrightError) and result.exception.exit_code == 2


def test_a_missing_tape_is_not_found(tmp_path: Path) -> None:
    assert isinstance(RUNNER.invoke(APP, ["--tape", str(tmp_path)]).exception, NotFoundError)
