"""``tidewright evaluate --examine``: what it says of a seat, and what it keeps."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.agents.test_executor_seat import policy
from tests.agents.test_learning_environment import SETTINGS
from tests.engine.example import market
from tidewright.agents.executor.environment_tape import Randomisation
from tidewright.agents.executor.learned_on import record
from tidewright.agents.executor.policy import Policy
from tidewright.agents.executor.seating import reports
from tidewright.cli.main import main
from tidewright.cli.seat_option import shipped
from tidewright.market.tape import Tape
from tidewright.market.tape_writer import TapeWriter

LEARNED = replace(SETTINGS, random=Randomisation((100_000,)))


def recorded(path: Path, seed: int) -> Path:
    with TapeWriter(path, market().instrument) as writer:
        writer.append(market(0.4, seed).data)
    return path


def examined(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[dict, str]:
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", "--examine", "--json", *words])
    assert not ended.value.code
    told = capsys.readouterr()
    return json.loads(told.out.splitlines()[-1]), " ".join(told.err.split())


def test_fees_it_learned_with_are_examined_whatever_is_asked_for_and_it_says_so(tmp_path, capsys):
    mine, tape = tmp_path / "mine.tw", recorded(tmp_path / "tape", 8)
    policy(LEARNED).save(mine)
    answer, said = examined(capsys, "--tape", str(tape), "--policy", str(mine), "--fees", "4")
    assert answer["examined"]["fees_bp"] == [0.0, 4.0, 10.0]
    assert "each at 0, 4, 10 bp; 0 bp, 10 bp added" in said
    assert "may not be seated without an explicit override" in said
    assert "at least 1,000 over all tapes" in said


def test_reports_stay_in_the_file_also_in_one_that_is_written_again(tmp_path, capsys):
    mine, out = tmp_path / "mine.tw", tmp_path / "out.tw"
    policy(LEARNED).save(mine)
    words = ["--policy", str(mine), "--out", str(out), "--tape"]
    first, second = (str(recorded(tmp_path / name, seed)) for name, seed in (("a", 8), ("b", 9)))
    assert examined(capsys, *words, first)[0]["reports"] == 1
    answer, said = examined(capsys, *words, second)
    assert answer["reports"] == len(reports(Policy.load(out))) == 2
    assert "its file holds 2 reports of this policy" in said
    assert examined(capsys, *words, first)[0]["reports"] == 2
    assert reports(Policy.load(mine)) == []


def test_one_that_sees_what_no_session_knows_is_said_to_fit_none(tmp_path, capsys):
    mine, tape = tmp_path / "mine.tw", recorded(tmp_path / "tape", 8)
    plain = policy(replace(LEARNED, extended=True))
    (network,) = plain.members
    wider = np.concatenate((network.weights[0], network.weights[0][:, :4]), axis=1)
    members = (network._replace(weights=(wider, *network.weights[1:])),)
    replace(plain, spaces=plain.spaces._replace(observation=12), members=members).save(mine)
    page = tmp_path / "page.html"
    answer, said = examined(capsys, "--tape", str(tape), "--policy", str(mine), "--html", str(page))
    assert not answer["may_be_seated"]
    assert answer["no_session_seats_it"] == answer["reasons"][:1]
    for text in (said, page.read_text("utf-8")):
        assert "o session seats it, whatever is overridden: it looks at 12 numbers, a session knows 8" in text


def test_the_shipped_policy_is_not_written_over(tmp_path, capsys):
    before = shipped().read_bytes()
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", "--examine", "--tape", str(recorded(tmp_path / "tape", 8)), "--policy", "shipped"])
    assert ended.value.code == 2 and "--out" in capsys.readouterr().err
    assert shipped().read_bytes() == before


def test_hours_it_learned_on_are_refused_in_other_rows_and_an_evaluation_says_so(tmp_path, capsys):
    tape = Tape.open(recorded(tmp_path / "tape", 8))
    cut = Tape(tape.path, tape.instrument, tape.meta, tape.data.rows(4, len(tape)))
    mine = policy(LEARNED)
    replace(mine, header={**mine.header, "data": [record(cut)]}).save(tmp_path / "mine.tw")
    words = ["--tape", str(tape.path), "--policy", str(tmp_path / "mine.tw"), "--fees", "1"]
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", "--examine", *words])
    assert ended.value.code == 2 and "the same market at the same time" in " ".join(capsys.readouterr().err.split())
    with pytest.raises(SystemExit):
        main(["evaluate", "--json", *words])
    told = capsys.readouterr()
    assert json.loads(told.out)["learned_on_this_tape"] is True and "say nothing about another one" in told.err
