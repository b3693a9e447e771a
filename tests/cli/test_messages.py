"""``tidewright messages`` on the command line."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.coordination.test_messages import PROPOSAL
from tidewright.cli.messages import app
from tidewright.market.errors import NotFoundError

RUNNER = CliRunner()


def test_valid_and_invalid_files_are_told_apart(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps(PROPOSAL))
    bad.write_text(json.dumps({**PROPOSAL, "more": 1}))
    result = RUNNER.invoke(app, ["validate", str(good), "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout.splitlines()[-1])["valid"] == 1
    result = RUNNER.invoke(app, ["validate", str(good), str(bad), "--json"])
    assert result.exit_code == 2
    answer = json.loads(result.stdout.splitlines()[-1])
    assert (answer["valid"], answer["invalid"]) == (1, 1)
    assert "more is not a field" in answer["results"][1]["error"]
    assert "invalid" in result.stderr


def test_a_line_file_is_checked_line_by_line(tmp_path: Path) -> None:
    lines = tmp_path / "all.jsonl"
    lines.write_text(json.dumps(PROPOSAL) + "\n\nnothing\n")
    result = RUNNER.invoke(app, ["validate", str(lines), "--json"])
    assert result.exit_code == 2
    assert json.loads(result.stdout.splitlines()[-1])["results"][1]["file"].endswith(":3")


def test_a_journal_is_said_to_be_one(tmp_path: Path) -> None:
    journal = tmp_path / "messages.jsonl"
    journal.write_text('{"seq":1,"at_ns":1,"event":"sent","message":' + json.dumps(PROPOSAL) + "}\n")
    result = RUNNER.invoke(app, ["validate", str(journal)])
    assert result.exit_code == 2 and "`tidewright messages replay` checks a journal" in result.stderr


def test_a_missing_file_is_not_found() -> None:
    result = RUNNER.invoke(app, ["validate", "nowhere.json"])
    assert isinstance(result.exception, NotFoundError)


def test_the_schema_is_json() -> None:
    result = RUNNER.invoke(app, ["schema"])
    assert result.exit_code == 0
    assert "parameter_update" in json.dumps(json.loads(result.stdout))


@pytest.mark.parametrize("arguments", [["validate"], ["nonsense"]])
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    assert RUNNER.invoke(app, arguments).exit_code == 2
