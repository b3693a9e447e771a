"""What people read of validation, stages and regret: every figure is there, what is unknown says so, nothing leaks."""

from dataclasses import replace

import numpy as np
import orjson
from rich.console import Console

from tests.measure.example import CYCLE, START, example
from tidewright.measure.agents_section import AgentAccount
from tidewright.measure.regret import History, account
from tidewright.measure.report import Stage, summarise, to_json
from tidewright.measure.report_page import page
from tidewright.measure.report_table import render
from tidewright.measure.validation import validate
from tidewright.measure.validation_sections import regret_rows, validation_html, validation_rows, validation_table

STEADY = {"share": 0.81, "worst": -0.2, "neighbours": 12, "radius": 0.05}
STAGES = (
    Stage(START + CYCLE, "p-1", "canary", "accepted: 0.25 of base_quantity"),
    Stage(START + 9 * CYCLE, "p-1", "rolled_back", "the old earned <b>more</b>"),
    Stage(START + 9 * CYCLE, "p-2", "refused", "confidence 0.4 is under the threshold 0.6"),
)


def text_of(part) -> str:
    console = Console(width=140, record=True, file=open("/dev/null", "w"))
    with console.file:
        console.print(part)
        return console.export_text()


def history(epochs: int) -> History:
    rng = np.random.default_rng(1)
    ours, first, fixed = (rng.normal(mean, 1.0, epochs) for mean in (1.0, -1.0, 1.5))
    best = np.maximum.reduce([ours, first, fixed]) + 0.5
    ts = START + 60 * CYCLE * np.arange(1, epochs + 1)
    return History(ts, account(ours.tolist(), first.tolist(), fixed.tolist(), best.tolist()), "levels 2", 260, 1)


def test_every_figure_of_a_validation_is_shown_with_its_definition() -> None:
    found = validate(np.random.default_rng(0).normal(0.05, 1.0, (200, 20)), trials=5_000)
    names = [name for name, _, _ in validation_rows(found, STEADY)]
    assert names[0] == "Trials" and "Deflated Sharpe ratio" in names and "Probability of overfitting" in names
    shown = text_of(validation_table(found, STEADY))
    for part in ("5,000", "Minimum track record", "81.0 %", "−20.0 %", "definition of 2025", "924 splits"):
        assert part in shown, part
    assert "Validation of the choice" in validation_html(found)


def test_what_is_not_known_is_left_out_or_says_so() -> None:
    flat = validate(np.zeros((10, 2)))
    rows = {name: value for name, value, _ in validation_rows(flat)}
    assert "Probability of overfitting" not in rows and "Gain kept by the neighbours" not in rows
    assert rows["Minimum track record"].startswith("never")


def test_stages_and_regret_are_in_the_report_its_json_and_its_page() -> None:
    data = replace(example(hours=2.0), stages=STAGES, regrets={"executor": history(8)})
    summary = summarise(data)
    shown = text_of(render(data, summary))
    for part in ("STAGES OF ACCEPTED PROPOSALS", "canary at small size", "rolled back", "REGRET", "Gain by changing"):
        assert part in shown, part
    told = orjson.loads(orjson.dumps(to_json(data, summary)))
    assert [item["stage"] for item in told["stages"]] == ["canary", "rolled_back", "refused"]
    assert told["regret"]["epochs"] == 8 and told["regret"]["gain"]["lower"] is not None
    html = page(data, summary)
    meaning = {name: words for name, _, words in regret_rows(history(8), "USDT")}["Regret, best fixed"]
    assert "260 fixed sets" in meaning and "1 more" in meaning and "a lower bound" in meaning
    assert (told["regret"]["compared"], told["regret"]["waiting"]) == (260, 1)
    assert (
        'id="regret"' in html
        and "260 fixed sets" in html
        and "&lt;b&gt;more&lt;/b&gt;" in html
        and "<b>more</b>" not in html
    )


def test_of_several_agents_each_regret_is_shown_and_what_keeps_an_account_back() -> None:
    held = replace(history(6), obstacle="the policy of then is gone")
    whole = AgentAccount("grid", *(np.array([1.0]) for _ in range(4)), "0", 1)
    agents = (whole, replace(whole, name="glft"))
    data = replace(example(hours=2.0), agents=agents, regrets={"glft": held, "grid": history(8)})
    summary = summarise(data)
    shown, html = " ".join(text_of(render(data, summary)).replace("│", " ").split()), page(data, summary)
    assert "REGRET OF glft" in shown and "REGRET OF grid" in shown and "the policy of then is gone" in shown
    assert 'id="regret-glft"' in html and 'id="regret-grid"' in html and "the policy of then is gone" in html
    told = orjson.loads(orjson.dumps(to_json(data, summary)))
    assert told["regret"] is None and told["regrets"]["glft"]["obstacle"] == "the policy of then is gone"
    assert told["regrets"]["grid"]["epochs"] == 8


def test_few_epochs_carry_no_interval_and_none_no_section() -> None:
    data = replace(example(hours=2.0), regrets={"executor": history(3)})
    assert "too few epochs" in text_of(render(data, summarise(data)))
    bare = example(hours=2.0)
    assert "REGRET" not in text_of(render(bare, summarise(bare)))
    assert 'id="regret"' not in page(bare, summarise(bare))
