from html import unescape
from re import findall

import numpy as np
import pytest
from rich.console import Console

from tidewright.agents.comparison.contest import Comparison, Heat, Row
from tidewright.agents.optimizer.windows import Window
from tidewright.interface.comparison_report import MEASURES, page, render, to_json
from tidewright.market.clock import HOUR, SECOND
from tidewright.measure.comparison import Run, paired, pooled
from tidewright.measure.figures import REQUIRED

CYCLE = 30 * SECOND


def run_of(seed: int, edge: float) -> Run:
    changes = np.random.default_rng(seed).normal(edge, 1.0, 120)
    closed = np.stack([np.ones(120), changes, changes**2], axis=1)
    return Run(changes, dict.fromkeys(REQUIRED, 1.0), np.full(120, 50.0), closed, np.abs(changes))


@pytest.fixture(scope="module")
def found() -> Comparison:
    runs = [[run_of(seed, edge) for seed in (k, 10 + k)] for k, edge in enumerate((0.0, 2.0, 0.0))]
    rows = []
    for k, each in enumerate(runs):
        figures = {**pooled(each, 1_000.0, CYCLE), "max_position": 3.0}
        beside = paired(each, runs[0], 1_000.0, CYCLE, seed=1, draws=200) if k else None
        rows.append(Row(f"number {k}", "does something", figures, beside, [], 0, [1.0, 2.0]))
    windows = [Window(0, HOUR), Window(HOUR, 2 * HOUR)]
    assumed: dict[str, object] = {
        "capital": "1000",
        "order_share": 0.01,
        "position_share": 0.1,
        "sizes": "",
        "cycle_s": 30.0,
        "latency_ms": 50.0,
        "queue": "prob",
        "candidates": 8,
        "generations": 1,
        "seed": 7,
        "train": 0.5,
        "windows": "lanes start flat",
        "policy": "It is new.",
    }
    return Comparison([Heat("tape", "BTCUSDT", "USDT", 2.0, windows, rows)], assumed)


def test_the_page_has_every_measure_with_its_interval(found):
    table = page(found).split("95 % interval; bold")[1].split("</table>")[0]
    assert findall(r'<th class="num">([^<]*)</th>', table) == [heading for _, heading, _, _ in MEASURES]
    rows = table.split("<tr>")[2:]
    assert len(rows) == 2, "the first contender is beside nobody"
    for row in rows:
        cells = findall(r'<td class="num">(.*?)</td>', row)
        assert len(cells) == len(MEASURES)
        assert all(" to " in cell for cell in cells)
    better, same = (findall(r'<td class="num">(.*?)</td>', row) for row in rows)
    assert better[0].startswith("<b>") and not same[0].startswith("<b>")


def test_the_table_for_the_terminal_says_where_the_other_intervals_are(found):
    console = Console(width=170)
    with console.capture() as shown:
        console.print(render(found))
    text = shown.get()
    assert "mean held" in text and "trials" in text
    assert "Intervals of all other measures beside the first contender: --html and --json." in " ".join(text.split())
    assert "Intervals of all other measures" not in unescape(page(found))


def test_what_is_known_of_a_given_policy_is_told_with_what_was_assumed(found):
    console = Console(width=170)
    with console.capture() as shown:
        console.print(render(found))
    assert "It is new." in shown.get()
    assert "It is new." in page(found)
    assert to_json(found)["assumptions"]["policy"] == "It is new."


def test_json_has_every_measure_with_its_interval(found):
    first, better, _ = to_json(found)["comparisons"][0]["contenders"]
    assert first["paired"] is None
    for name, _, _, _ in MEASURES:
        part = better["paired"][name]
        assert part["lower"] <= part["value"] <= part["upper"]
    assert better["figures"]["inventory"] > 0.0
