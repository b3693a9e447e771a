"""Training a seated policy on beside the search: started, collected, proposed or explained."""

import json
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.agents.test_executor_seat import policy
from tests.agents.test_learning_environment import CYCLE, LATENCY, SETTINGS
from tests.agents.test_optimizer_steered import recorded, reference, request  # noqa: F401
from tests.engine.example import market
from tidewright.agents.executor.examination import examine
from tidewright.agents.executor.learning import fine_tune
from tidewright.agents.executor.learning.evolution import Evolution, EvolutionSettings, evolve
from tidewright.agents.executor.policy import Policy, ensemble
from tidewright.agents.executor.policy_run import tape_hash
from tidewright.agents.executor.seat import file_hash
from tidewright.agents.optimizer.fold import stretch
from tidewright.agents.optimizer.memory import Memory
from tidewright.agents.optimizer.tuning import EVERY, Tuner, job_of
from tidewright.coordination.messages import message
from tidewright.market.errors import DataError, UsageError
from tidewright.market.synthetic import synthesize
from tidewright.market.tape import Tape

# A child that answers with what the test says, and with the job it was given.
CHILD = "import json,sys; job=json.load(sys.stdin); print(json.dumps({**json.loads(sys.argv[1]), 'job': job}))"


def child(answer: dict) -> Tuner:
    return Tuner((sys.executable, "-c", CHILD, json.dumps(answer)))


def better(value: float) -> dict:
    difference = {"value": value, "deviation": 0.1}
    figures = {"cycles": 10, "difference": difference, "verdicts": {"leak": "passed"}}
    return {"figures": figures, "trained": [1, 2], "held_out": [3, 4], "sha256": "f" * 64, "tried": 768}


def asked(recorded, tmp_path):  # noqa: F811
    one = reference(tmp_path / "p.tw", policy())
    return request(recorded, 100, policy=one, fees={"maker": 100_000, "taker": 100_000}, fine_tune=True).data


def begun(tuner: Tuner, data) -> None:
    assert [tuner.begin(data) for _ in range(EVERY)] == [False] * (EVERY - 1) + [True]
    assert not tuner.begin(data)  # one at a time


def test_what_is_better_on_what_it_did_not_see_is_proposed(recorded, tmp_path):  # noqa: F811
    data, tuner = asked(recorded, tmp_path), child(better(0.1))
    assert tuner.collect(Memory()) == {}
    begun(tuner, data)
    memory = Memory(trials=100, elsewhere=10)
    told = tuner.collect(memory)
    assert (memory.trainings, memory.taught, memory.tried) == (1, 768, 878)
    item = message("status", 0, "optimizer", "executor", {"state": "no_proposal", "reason": "no", **told})
    proposal = item.data.policy_proposal
    assert proposal is not None
    assert proposal.policy.sha256 == "f" * 64
    assert proposal.parent == data.policy.sha256
    assert proposal.policy.name == f"tuned-{data.until_ns}"
    assert proposal.held_out == [3, 4] and proposal.figures["trainings"] == 1


def test_the_best_of_many_trainings_needs_more_than_luck(recorded, tmp_path):  # noqa: F811
    """Of twenty useless ones the best is expected 1.9 deviations above nothing."""
    data, memory = asked(recorded, tmp_path), Memory()
    for number in range(1, 21):
        tuner = child(better(0.17))
        begun(tuner, data)
        told = tuner.collect(memory)
        assert ("policy_proposal" in told) == (number < 13)
    assert "the best of 20 trainings" in told["fine_tune_failed"]
    tuner = child(better(0.21))
    begun(tuner, data)
    assert tuner.collect(memory)["policy_proposal"]["figures"]["trainings"] == 21
    memory.save(tmp_path / "memory.json")
    assert Memory.load(tmp_path / "memory.json").trainings == 21


@pytest.mark.parametrize(
    ("answer", "says"), [(better(-0.1), "no better on what it had not seen"), ({"error": "too short"}, "too short")]
)
def test_what_is_not_says_why(recorded, tmp_path, answer, says):  # noqa: F811
    tuner = child(answer)
    begun(tuner, asked(recorded, tmp_path))
    assert says in tuner.collect(Memory())["fine_tune_failed"]


def test_a_child_that_dies_is_told_of(recorded, tmp_path):  # noqa: F811
    tuner = Tuner((sys.executable, "-c", "import sys; sys.stdin.read(); sys.exit(3)"))
    begun(tuner, asked(recorded, tmp_path))
    assert tuner.collect(Memory()) == {"fine_tune_failed": "the training ended with code 3"}


def test_a_child_is_ended_with_its_parent(recorded, tmp_path):  # noqa: F811
    tuner = Tuner((sys.executable, "-c", "import time; time.sleep(600)"))
    begun(tuner, asked(recorded, tmp_path))
    tuner.close()
    assert tuner.collect(Memory()) == {}


def test_nothing_is_trained_unless_it_is_asked_for(recorded, tmp_path):  # noqa: F811
    data, tuner = asked(recorded, tmp_path), child(better(0.1))
    plain = data.model_copy(update={"fine_tune": False})
    assert not any(tuner.begin(plain) for _ in range(3 * EVERY))
    with pytest.raises(UsageError, match="the fees"):
        job_of(data.model_copy(update={"fees": None}))


def test_the_stretch_is_bounded_and_the_policy_the_one_that_was_meant(recorded, tmp_path):  # noqa: F811
    job = job_of(asked(recorded, tmp_path))
    with pytest.raises(UsageError, match="480 cycles of market, there are 100"):
        fine_tune.run(job)
    policy(seed=8).save(tmp_path / "p.tw")
    with pytest.raises(DataError, match="is another one"):
        fine_tune.run(job)


@pytest.fixture(scope="module")
def trained_on(tmp_path_factory) -> Path:
    """A folder with a session's tape, a parent of two members, and what training it on made of it."""
    folder = tmp_path_factory.mktemp("session")
    tape = synthesize(folder / "tape", hours=1.4, seed=5)
    few = EvolutionSettings(generations=1, lanes=4, stretches=1, hidden=3)
    trading = replace(SETTINGS, decisions=30)
    members = [evolve(Evolution([tape], trading, few, seed)) for seed in (1, 2)]
    data = [{"source": "what the parent saw", "rows": len(market()), "sha256": tape_hash(market())}]
    header = {"environment": trading.to_json(), "version": "0", "data": data, "examinations": [], "seeds": [1, 2]}
    ensemble(members, header).save(folder / "parent.tw")
    first = int(tape.data.ts[0])
    job = fine_tune.Job(
        str(folder / "parent.tw"), file_hash(folder / "parent.tw"), str(folder / "child.tw"), str(folder / "tape"),
        len(tape.data.ts) - 10, first + 300 * CYCLE, first + 490 * CYCLE, 0, LATENCY, "prob", {"kappa": 0.8},
        3, 1, 4, 1,
    )  # fmt: skip
    (folder / "told.json").write_text(json.dumps(fine_tune.run(job)))
    return folder


def test_training_on_reaches_further_back_than_the_search(trained_on):
    told = json.loads((trained_on / "told.json").read_text())
    began = Tape.open(trained_on / "tape").start_ns
    held_out = round(fine_tune.HELD_OUT * 490) * CYCLE
    assert told["trained"] == [began, told["held_out"][1] - held_out]


def test_a_policy_trained_on_has_seen_what_its_parent_saw_and_is_not_examined_on_it(trained_on):
    child = Policy.load(trained_on / "child.tw")
    assert [one["source"] for one in child.header["data"]][:-1] == ["what the parent saw"]
    with pytest.raises(UsageError, match="learned on"):
        examine([market()], child, (0.0,), date="2026-01-01")
    tape, told = Tape.open(trained_on / "tape"), child.header["tape"]
    rows = tape.data.rows(0, told["rows"])
    assert told["sha256"] == tape_hash(Tape(tape.path, tape.instrument, tape.meta, rows))
    assert child.header["data"][-1]["rows"] < told["rows"] == child.header["job"]["rows"] < len(tape)


@pytest.mark.slow
def test_the_command_of_a_policy_trained_on_makes_it_again(trained_on, tmp_path):
    header = Policy.load(trained_on / "child.tw").header
    assert header["parent"] == file_hash(trained_on / "parent.tw")
    assert (header["seeds"], header["learner"]["generations"], header["job"]["params"]) == ([3, 4], 1, {"kappa": 0.8})
    assert "/" not in header["command"]
    for name in ("parent.tw", "tape"):
        (tmp_path / name).symlink_to(trained_on / name)
    words = header["command"].replace("| python ", f"| {shlex.quote(sys.executable)} ")
    subprocess.run(words, shell=True, cwd=tmp_path, check=True, stdout=subprocess.DEVNULL, timeout=600)
    assert (tmp_path / "child.tw").read_bytes() == (trained_on / "child.tw").read_bytes()


def test_the_two_parts_of_a_stretch_do_not_meet_and_begin_with_a_book():
    tape = market()
    start = int(tape.data.ts[0])
    middle, later = start + 60 * CYCLE, start + 62 * CYCLE
    one = stretch(tape, len(tape.data.ts), start, middle)
    two = stretch(tape, len(tape.data.ts), later, start + 120 * CYCLE)
    assert one.data.ts[-1] <= middle
    assert (np.diff(two.data.ts) >= 0).all()
    own = two.data.ts[two.data.ts > later]
    assert len(own) > 100
    assert own[-1] <= start + 120 * CYCLE
