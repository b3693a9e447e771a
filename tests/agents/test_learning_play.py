"""Many cohorts stepped in one call do, to the byte, what each does when it is stepped by itself."""

from pathlib import Path

import numpy as np
import pytest

from tests.agents.test_learning_environment import CYCLE, LATENCY, SETTINGS, SETTINGS_VALUES, actions
from tests.engine.example import all_bytes, market
from tidewright.agents.executor.environment_tape import Cohort, Randomisation, TapeEnvironment, TapeSettings, starts
from tidewright.engine import kernel
from tidewright.engine import layout as at
from tidewright.engine.replay import Replay, ReplayConfig
from tidewright.market.codes import ASK
from tidewright.market.errors import DataError
from tidewright.market.tape import Tape
from tidewright.risk.limits import OFF
from tidewright.strategies.custom_errors import StrategyError

RANDOM = Randomisation((0, 100_000), (10_000_000, 200_000_000), ("risk_averse", "prob"))
EXAMPLE = Path(__file__).parents[2] / "examples" / "steered_maker.py"


def one_by_one(tape: Tape, settings: TapeSettings, lanes: int, cohorts: int, steps: int, first: int) -> list[bytes]:
    """Every cohort by itself, with the draws and the lengths of first episodes of an environment of seed 0."""
    places, draws = starts(tape, settings), np.random.SeedSequence(0).spawn(cohorts)
    size, out = lanes // cohorts, []
    alone = [Cohort(places, size, settings, np.random.default_rng(draw)) for draw in draws]
    for each in alone:
        each.begin(first)
    for continuous, discrete in actions(lanes, steps):
        parts: list[list[np.ndarray]] = [[], [], [], [], []]
        for index, each in enumerate(alone):
            part = slice(index * size, (index + 1) * size)
            ends = each.step(np.ascontiguousarray(continuous[part]), np.ascontiguousarray(discrete[part]))
            told = each.terms.copy(), each.ruined.copy(), each.observation[1].copy(), np.full(size, ends)
            if ends:
                each.begin()
            for kept, values in zip(parts, (*told, each.observation[0].copy()), strict=True):
                kept.append(values)
        terms, ruined, last, cut, seen = map(np.concatenate, parts)
        out += [seen.tobytes(), last.tobytes(), terms.tobytes(), ruined.tobytes(), (cut & ~ruined).tobytes()]
    return out + [repr(each.replay.counts()).encode() for each in alone]


def together(
    tape: Tape, settings: TapeSettings, lanes: int, cohorts: int, steps: int, first: int, threads: int = 1
) -> list[bytes]:
    """All cohorts of an environment of seed 0."""
    environment, out = TapeEnvironment([tape], lanes, cohorts, settings, 0, threads), []
    for each in environment.cohorts:
        each.begin(first)
    for chosen in actions(lanes, steps):
        step = environment.step(*chosen)
        terms = np.stack([step.terms[name] for name in ("pnl", "risk", "consistency")], axis=1)
        out += [values.tobytes() for values in (step.observation, step.last, terms, step.terminated, step.truncated)]
    environment.close()
    return out + [repr(each.replay.counts()).encode() for each in environment.cohorts]


def changed(**values: object) -> TapeSettings:
    return TapeSettings(**{**SETTINGS_VALUES, **values})


@pytest.mark.parametrize(
    ("settings", "first"),
    [
        pytest.param(changed(random=RANDOM), 11, id="episodes that end and begin"),
        pytest.param(changed(extended=True), 11, id="queues and trades seen"),
        pytest.param(changed(limits=OFF, base_quantity=0.05, max_position=0.5, ruin=1e-4), 30, id="ruined lanes"),
        pytest.param(SETTINGS, 10_000, id="to the end of the tape"),
    ],
)
@pytest.mark.parametrize("threads", [1, 2])
def test_cohorts_stepped_in_one_call_do_what_each_does_by_itself(settings, first, threads):
    case = (market(hours=0.25), settings, 6, 3, 45, first)
    found = together(*case, threads)
    assert found == one_by_one(*case)
    flags = [values for step in range(45) for values in found[5 * step + 3 : 5 * step + 5]]
    assert any(np.frombuffer(values, np.bool_).any() for values in flags)  # something ended


def with_rows(tape: Tape, **columns: np.ndarray) -> Tape:
    return Tape(tape.path, tape.instrument, tape.meta, tape.data._replace(**columns))


def without_asks(seconds: float) -> Tape:
    """A market in which nobody sells for the first seconds, so that there is no mid."""
    tape = market(hours=0.25)
    qty = tape.data.qty.copy()
    qty[(tape.data.kind == ASK) & (tape.data.ts < tape.data.ts[0] + seconds * 1e9)] = 0
    return with_rows(tape, qty=qty)


def test_quantities_are_fixed_at_the_first_mid_also_where_an_episode_has_begun_before_it():
    case = (without_asks(75.0), changed(decisions=80), 4, 2, 30, 40)
    environment = TapeEnvironment([case[0]], 4, 2, case[1])
    for each in environment.cohorts:
        each.places = each.places[:1]
    environment.reset()
    assert (environment.cohorts[0].replay.parameters[:, -1] == 0.0).all()
    seen = [environment.step(*chosen).last for chosen in actions(4, 30)]
    assert (environment.cohorts[0].replay.parameters[:, -1] > 0.0).all()
    alone = Cohort(starts(case[0], case[1])[:1], 2, case[1], np.random.default_rng(0))
    alone.begin()
    for (continuous, discrete), last in zip(actions(4, 30), seen, strict=True):
        alone.step(np.ascontiguousarray(continuous[:2]), np.ascontiguousarray(discrete[:2]))
        assert alone.observation[1].tobytes() == last[:2].tobytes()


def test_an_engine_goes_on_from_what_stopped_a_kernel_that_somebody_else_called():
    tape = market(hours=0.25)
    config = ReplayConfig(cycle_ns=CYCLE, entry_ns=LATENCY, response_ns=LATENCY, ask=True, window_ticks=1 << 12)
    params = {"base_quantity": 0.0002, "max_position": 0.01, "levels": 3, "kappa": 1.0}
    engines = [Replay(tape.instrument, config, "shaped", params, 40, quote_units=10**12) for _ in range(2)]
    columns = [np.ascontiguousarray(column).view() for column in tape.data]
    for column in columns:
        column.flags.writeable = False
    rows, stops, decides = [0, 0], set(), True
    while decides:
        rows[0], decides = engines[0].run_to_decision(tape.data, rows[0])
        status, row = kernel.run(engines[1].address, *columns, rows[1], -at.NEVER)
        engines[1]._state.reg[at.ROWS] += row - rows[1]
        stops.add(status)
        rows[1], again = engines[1].run_to_decision(tape.data, row, status)
        assert (rows[1], again) == (rows[0], decides)
    assert {at.LOOK, at.MOVE} <= stops
    assert all_bytes(engines[0]) == all_bytes(engines[1])


def test_a_users_own_strategy_that_fails_says_so_in_a_step_of_all(tmp_path):
    file = tmp_path / "own.py"
    file.write_text(EXAMPLE.read_text("utf-8").replace("= bid\n", "= -1 if params.stance > 1.5 else bid\n"), "utf-8")
    environment = TapeEnvironment([market(hours=0.25)], 2, 1, changed(strategy=str(file)))
    environment.reset()
    with pytest.raises(StrategyError, match="steered_maker"):
        for chosen in actions(2, 20):
            environment.step(*chosen)


def test_rows_that_are_no_tape_are_refused_in_a_step_of_all():
    tape = market(hours=0.25)
    ts = tape.data.ts.copy()
    ts[2 * len(ts) // 3] = 0
    environment = TapeEnvironment([with_rows(tape, ts=ts)], 2, 1, changed(decisions=10))
    cohort = environment.cohorts[0]
    cohort.places = cohort.places[:1]
    environment.reset()
    cohort.begin(10_000)
    with pytest.raises(DataError, match="venue time may not fall"):
        for chosen in actions(2, 200):
            environment.step(*chosen)
