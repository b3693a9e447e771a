"""Facts about fills through the engine, on markets whose truth is known."""

import json
from functools import cache

import orjson
import pytest

from tests.interface.facts_markets import SECOND, independent, sweeping
from tidewright.interface.facts_probes import ProbeSettings, make_plan, run_plan
from tidewright.interface.facts_report import FactsSettings, measure_facts
from tidewright.market.codes import LIMIT
from tidewright.market.errors import UsageError
from tidewright.market.tape import Tape, columns
from tidewright.measure.fill_facts import AS_EXPECTED, NOT_EXPECTED, Fact
from tidewright.measure.fill_facts_book import BookHistory
from tidewright.measure.fill_facts_page import page
from tidewright.measure.fill_facts_report import FactsReport, to_json

SETTINGS = FactsSettings(ProbeSettings(orders=8_000, entry_ns=SECOND // 20), lanes=12)


@cache
def report(kind: str) -> FactsReport:
    return measure_facts({"independent": independent, "sweeping": sweeping}[kind](), SETTINGS)


def facts(kind: str) -> dict[str, Fact]:
    return {fact.name: fact for fact in report(kind).facts}


def test_where_prints_tell_nothing_fills_are_worth_the_half_spread_and_the_verdicts_say_so() -> None:
    told = facts("independent")
    assert told["markout_1s"].estimate.figure == pytest.approx(1.0, abs=0.06)  # less what stale quotes are worth
    assert told["half_spread_given_back"].estimate.figure == pytest.approx(0.0, abs=0.03)
    for name in ("markout_1s", "half_spread_given_back", "symmetric_maker"):
        assert told[name].verdict == NOT_EXPECTED, told[name]
    assert told["symmetric_maker"].estimate.low > 0.3


def test_where_every_print_sweeps_fills_lose_the_half_spread_twice() -> None:
    told = facts("sweeping")
    assert told["markout_1s"].estimate.figure == pytest.approx(-1.0, abs=0.01)
    assert told["half_spread_given_back"].estimate.figure == pytest.approx(2.0, abs=0.02)
    for name in ("markout_1s", "half_spread_given_back", "symmetric_maker", "break_even_fee"):
        assert told[name].verdict == AS_EXPECTED, told[name]
    # A sweep serves front and back alike.
    assert told["front_less_back"].verdict == told["naive_fill_rate"].verdict == NOT_EXPECTED
    assert told["one_sided_in_a_fall"].estimate.figure > 0.9


def test_waiting_behind_others_costs_fills_and_fees_cost_what_they_say() -> None:
    told = facts("independent")
    assert told["naive_fill_rate"].verdict == AS_EXPECTED
    for kind in ("independent", "sweeping"):
        assert facts(kind)["fee_slope"].verdict == AS_EXPECTED
        assert facts(kind)["sharpe_drop_at_1bp"].estimate.figure < 0


def test_a_short_tape_gives_no_verdict_on_means() -> None:
    told = measure_facts(independent(minutes=4), SETTINGS).facts
    means = [fact for fact in told if fact.name.startswith(("markout", "half", "symmetric", "break"))]
    assert {fact.verdict for fact in means} == {"too few"}


def test_probes_are_the_same_whatever_the_queue_model_and_end_when_their_life_does() -> None:
    tape = independent(minutes=4)
    book = BookHistory(tape.data)
    settings = ProbeSettings(orders=1_000, life_ns=2 * SECOND)
    plan = make_plan(tape, book, settings)
    back, front = (run_plan(tape, plan, settings, queue) for queue in ("risk_averse", "front"))
    assert (plan.until - plan.arrival == 2 * SECOND).all()
    assert (back.accepted == front.accepted)[plan.kind == LIMIT].all()
    filled = back.fill_ts > 0
    assert filled.sum() > 20
    assert (back.fill_ts >= plan.arrival)[filled].all() and (back.fill_ts <= plan.until)[filled].all()
    assert (front.fill_ts > 0)[filled].all(), "whoever fills at the back fills at the front"
    assert (front.fill_ts <= back.fill_ts)[filled].all()


def test_the_report_is_plain_json_and_a_page() -> None:
    answer = json.loads(orjson.dumps(to_json(report("independent"))))
    assert sum(answer["verdicts"].values()) == len(answer["facts"]) == len(report("independent").facts)
    assert {"figure", "low", "high", "sample", "expected", "least_effect", "literature", "source", "verdict"} <= set(
        answer["facts"]["markout_1s"]
    )
    text = page(report("independent"))
    for fact in report("independent").facts:
        assert fact.verdict in text
    assert text.count("<h2>") >= 6 and "Plotly.newPlot" in text


def test_settings_and_tapes_that_cannot_work_are_refused() -> None:
    tape = independent(minutes=1)
    with pytest.raises(UsageError, match="front"):
        FactsSettings(ProbeSettings(queue="front"))
    with pytest.raises(UsageError, match="lanes"):
        FactsSettings(lanes=3)
    with pytest.raises(UsageError, match="life"):
        ProbeSettings(life_ns=0)
    with pytest.raises(UsageError, match="no rows"):
        measure_facts(Tape(tape.path, tape.instrument, tape.meta, columns([])))
    one_sided = tape.data.rows(1, 2)
    with pytest.raises(UsageError, match="never whole"):
        measure_facts(Tape(tape.path, tape.instrument, tape.meta, one_sided))
