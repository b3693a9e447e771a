"""A search on a tape that is carried on: the same experiment, or a refusal that says what differs."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tidewright as tw
from tests.agents.test_optimizer_study import CYCLE, INCUMBENT, START, KnownMarket
from tidewright.agents.optimizer.assumptions import differences
from tidewright.agents.optimizer.judge import Judgement, Params
from tidewright.agents.optimizer.memory import Memory
from tidewright.agents.optimizer.optimize import Optimization
from tidewright.agents.optimizer.space import of_strategy
from tidewright.agents.optimizer.study import Plan, complete
from tidewright.agents.optimizer.tape_search import TapeSearch
from tidewright.agents.optimizer.validation import Trials
from tidewright.agents.optimizer.windows import Window, split
from tidewright.market.errors import UsageError
from tidewright.market.synthetic import synthesize
from tidewright.market.tape import Tape
from tidewright.risk.limits import Limits

SPACE = {"spread_percentage": (0.01, 0.5, "log"), "levels": (1, 4, "int")}
BASIS: dict[str, Any] = {"fees": ("0.0001", None), "epoch": "10m", "sampler": "genetic", "seed": 3}


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Tape:
    return synthesize(tmp_path_factory.mktemp("study") / "tape", hours=1.0, seed=3, rate=2.0)


@pytest.fixture(scope="module")
def begun(tape: Tape) -> Path:
    file = tape.path.with_name("begun.json")
    search(tape, file, candidates=32, **BASIS)
    return file


@pytest.fixture
def study(begun: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(begun, tmp_path / "study.json"))


def search(tape: Tape, file: Path, **options: Any) -> Optimization:
    return tw.optimize(tape, space=SPACE, objectives=["return", "max_drawdown"], file=file, **options)


def resumed(tape: Tape, file: Path, **options: Any) -> Optimization:
    return search(tape, file, resume=True, **{"candidates": 48, **BASIS, **options})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fees": ("0.001", None)}, "maker_fee was 0.0001, is now 0.001"),
        ({"fees": ("0.0001", "0.005")}, "taker_fee was 0.001, is now 0.005"),
        ({"latency": "20ms"}, "entry_latency_ms was 50.0, is now 20.0"),
        ({"queue": "prob"}, "queue was risk_averse, is now prob"),
        ({"capital": "5000"}, "capital was 10000.00000000, is now 5000.00000000"),
        ({"limits": Limits()}, "limits max_position_share was nothing, is now 0.01"),
        ({"cycle": "20s"}, "cycle_s was 30.0, is now 20.0"),
        ({"last": "50m"}, "in_sample start_ns was"),
        ({"incumbent": {"base_quantity": 0.002}}, "incumbent base_quantity was 0.001, is now 0.002"),
        ({"seed": 4}, "seed was 3, is now 4"),
        ({"sampler": "lines"}, "sampler was genetic, is now lines"),
        ({"constraints": ["fills>=5"]}, "constraints was nothing, is now fills>=5"),
    ],
)
def test_another_experiment_is_refused_with_both_values(
    tape: Tape, study: Path, options: dict[str, Any], words: str
) -> None:
    before = study.read_bytes()
    with pytest.raises(UsageError, match="was begun with other settings") as refused:
        resumed(tape, study, **options)
    assert words in str(refused.value)
    assert study.read_bytes() == before


def test_another_power_of_the_queue_model_is_another_experiment(tape: Tape, tmp_path: Path) -> None:
    file, model = tmp_path / "study.json", {**BASIS, "queue": "prob"}
    search(tape, file, candidates=32, queue_power=2.0, **model)
    with pytest.raises(UsageError, match=r"queue_power was 2\.0, is now 3\.0"):
        search(tape, file, resume=True, candidates=48, **model)


def test_another_space_or_objective_is_refused(tape: Tape, study: Path) -> None:
    with pytest.raises(UsageError, match=r"space levels was int from 1.0 to 4.0, is now int from 1.0 to 5.0"):
        tw.optimize(
            tape, space={**SPACE, "levels": (1, 5, "int")}, objectives=["return"], file=study, resume=True, **BASIS
        )


def test_another_tape_of_the_same_times_is_refused(tape: Tape, study: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(tape.path, other)
    sizes = np.fromfile(other / "qty", "<i8")
    sizes[len(sizes) // 2] += 1
    sizes.tofile(other / "qty")
    with pytest.raises(UsageError, match=r"tape sha256 was [0-9a-f]{64}, is now [0-9a-f]{64}"):
        resumed(Tape.open(other), study)


def test_the_same_tape_elsewhere_is_the_same_experiment(tape: Tape, study: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(tape.path, moved)
    assert resumed(Tape.open(moved), study).found.trials == 48


def test_other_rules_of_the_instrument_are_refused(tape: Tape, study: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(tape.path, other)
    meta = json.loads((other / "meta.json").read_text())
    meta["instrument"]["filters"]["max_num_orders"] = 3
    (other / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(UsageError, match=r"instrument filters max_num_orders was 200, is now 3"):
        resumed(Tape.open(other), study)


def test_seed_and_sampler_are_those_of_the_study_where_none_are_given(tape: Tape, study: Path) -> None:
    given = {**BASIS, "seed": None, "sampler": None}
    done = resumed(tape, study, **given)
    whole = tw.optimize(tape, space=SPACE, objectives=["return", "max_drawdown"], candidates=48, **BASIS)
    assert done.plan.seed == 3 and done.search is not None and done.search.sampler == "genetic"
    assert whole.search is not None
    assert done.search.seed == whole.search.seed == 3


def test_a_study_that_does_not_say_what_it_rests_on_is_refused(tape: Tape, study: Path) -> None:
    kept = json.loads(study.read_text())
    kept["about"] = {"strategy": "grid", "incumbent": {}, "window": [0, 1, 2]}  # as earlier versions wrote it
    study.write_text(json.dumps(kept))
    with pytest.raises(UsageError, match=r"does not say what its figures rest on .*begin a new one"):
        resumed(tape, study)


def test_figures_that_are_others_when_judged_again_are_refused(tape: Tape, study: Path) -> None:
    kept = json.loads(study.read_text())
    kept["values"][4][0] += 1e-6
    study.write_text(json.dumps(kept))
    with pytest.raises(UsageError, match="judged by another build: total_return of its candidate 5 was"):
        resumed(tape, study)


def test_a_study_that_cannot_be_written_is_refused_before_anything_is_judged(tape: Tape, tmp_path: Path) -> None:
    told: list[int] = []
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "study.json"):
        with pytest.raises(UsageError, match="cannot write the study"):
            search(tape, path, candidates=32, progress=lambda done, total: told.append(done))
    assert told == []
    search(tape, tmp_path / "made" / "study.json", candidates=32, **BASIS)
    assert (tmp_path / "made" / "study.json").is_file()


def test_a_difference_is_told_by_its_place_also_where_one_side_has_nothing() -> None:
    before = {"a": {"b": 1, "c": [1, 2]}, "same": 1.5}
    assert differences(before, {"a": {"b": 2, "c": (1, 2)}, "same": 1.5, "new": "x"}) == [
        "a b was 1, is now 2",
        "new was nothing, is now x",
    ]


def test_no_batch_is_begun_that_would_end_after_the_time() -> None:
    clock = [0.0]

    class Slow(KnownMarket):
        """Takes four seconds a batch."""

        def evaluate(self, window: Window, params: Params, lanes: int, record: bool = False) -> Judgement:
            clock[0] += 4.0
            return super().evaluate(window, params, lanes, record)

    incumbent = complete("grid", INCUMBENT)
    parts = split(START, START + 400 * CYCLE, CYCLE)
    plan = Plan("grid", of_strategy("grid"), incumbent, parts, CYCLE, 60)
    for seconds, batches in ((10.0, 2), (12.5, 3), (1.0, 1)):
        clock[0] = 0.0
        search = TapeSearch(
            ["return"], candidates=None, seconds=seconds, batch=16, sampler="genetic", now=lambda: clock[0]
        )
        search(Slow(), plan, Memory(), np.random.default_rng(0), None, Trials())
        assert search.search is not None and len(search.search) == 16 * batches
