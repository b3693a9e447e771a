"""Markets that turn, and the table of regret."""

from typing import Any

import numpy as np
import pytest

from benchmarks.regret import DRAWN, STRETCH, summed, table, turned
from tidewright.market.clock import MINUTE
from tidewright.market.synthetic import synthesize
from tidewright.market.tape import Tape
from tidewright.measure.mids import tape_mids


def test_a_market_that_turns_moves_more_and_does_not_jump() -> None:
    tape = synthesize(None, hours=1.0, seed=5, rate=2.0)
    starts = [tape.start_ns, tape.start_ns + 20 * MINUTE, tape.start_ns + 40 * MINUTE]
    data = turned(tape, starts, wild=False)
    times = np.arange(tape.start_ns + MINUTE, tape.end_ns - MINUTE, MINUTE // 4)
    before, after = (tape_mids(rows, float(tape.instrument.tick)).at(times) for rows in (tape.data, data))
    moves = np.diff(after) / np.diff(before)[: len(times) - 1]
    inside = (times[:-1] > starts[1]) & (times[1:] < starts[2])
    known = np.isfinite(moves)
    assert moves[known & inside] == pytest.approx(STRETCH) and moves[known & (times[1:] < starts[1])] == pytest.approx(
        1
    )
    assert np.abs(np.diff(after)).max() <= STRETCH * np.abs(np.diff(before)).max() + 1e-9  # also where it turns
    assert Tape(tape.path, tape.instrument, tape.meta, data).end_ns == tape.end_ns


def book(late: float) -> dict[str, Any]:
    rows = [[1.0, 2.0, *[0.0] * (DRAWN - 2), late] for _ in range(6)]
    epochs = [{"ours": 1.5, "incumbent": 1.0, "best": 4.0, "reference": row} for row in rows]
    epochs[0]["reference"] = [*rows[0], 99.0]  # judged over one epoch only: it waits
    params = [{"k": float(index)} for index in range(DRAWN + 2)]
    return {"epochs": epochs, "reference": params, "dropped": [{"k": -1.0}]}


def test_the_best_fixed_is_of_all_that_were_judged_over_all_epochs() -> None:
    found = summed(book(late=3.0))
    assert (sum(found["fixed"]), sum(found["drawn"]), found["late"]) == (18.0, 12.0, True)
    assert (found["compared"], found["waiting"], found["params"]) == (DRAWN + 2, 1, {"k": float(DRAWN)})
    assert summed(book(late=-1.0))["late"] is False


def test_the_table_tells_both_regrets_of_each_market_and_the_mean() -> None:
    rows = [{"market": f"synthetic {k}", "accepted": k, **summed(book(late=3.0))} for k in (1, 2)]
    lines = table(rows).splitlines()
    assert len(lines) == 5 and "| 18.00, joined later | 9.00 | 6.00 | 9.00 (9.00 to 9.00) | 3.00 |" in lines[2]
    assert "mean of 2" in lines[-1] and "| 9.00 (9.00 to 9.00) | 3.00 | 3.00 (3.00 to 3.00) |" in lines[-1]
