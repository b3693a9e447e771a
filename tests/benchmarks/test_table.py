"""What the table says of measured, computed and missing figures."""

import sys

import pytest

from benchmarks import jobs, peers, run, table
from benchmarks.make_tape import make

ROW = {
    "name": "a job",
    "with": "a peer 1.0",
    "lanes": 1,
    "sample": [0.1],
    "computed": False,
    "count": 1_000,
    "unit": "event",
    "ours": [1e-5, 3e-5, 2e-5],
    "peer": [2e-4, 1e-4, 3e-4],
    "ours_results": [{"fills": 3}],
    "peer_results": [{"fills": 4}],
    "reason": "",
}


def test_one_lane_is_told_in_nanoseconds_an_event_with_its_spread():
    cells = table.line(ROW)
    assert cells[1] == "20.0 ns an event (10.0–30.0)"
    assert cells[3] == "200.0 ns an event (100.0–300.0)"
    assert cells[4:] == ("10×", "3 / 4")


def test_what_a_peer_ran_on_some_lanes_is_multiplied_and_said_to_be_computed():
    cells = table.line(ROW | {"lanes": 1_000, "computed": True, "ours": [0.5], "peer": [0.2, 0.1, 0.3]})
    assert cells[3] == "one lane 0.2 s (0.1–0.3); × 1,000 = 200 s (computed)"
    assert cells[4] == "400×"


def test_a_sweep_the_peer_ran_itself_is_compared_as_measured():
    cells = table.line(ROW | {"lanes": 1_000, "unit": "bar", "ours": [0.5], "peer": [1.0]})
    assert cells[1] == "0.5 s (0.5–0.5); 500 ns a bar and lane"
    assert cells[4] == "2×"


def test_a_peer_that_cannot_run_leaves_its_reason_and_our_figure():
    cells = table.line(ROW | {"peer": [], "reason": "cannot be installed: no such version"})
    assert cells[1] == "20.0 ns an event (10.0–30.0)"
    assert cells[3:] == ("cannot be installed: no such version", "–", "–")


def test_the_document_keeps_what_is_around_the_figures(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n", encoding="utf-8")
    machine = {"cpu": "x", "cores": 2, "memory_gib": 4, "system": "y", "python": "3", "load_average": [0.5]}
    result = {"rows": [ROW], "rounds": 1, "versions": {"a": {"b": "1"}}, "markets": {}}
    table.write_document(page, result | {"machine": machine | {"load_average_after": [0.6]}})
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n") and text.endswith("after\n")
    assert "| a job |" in text and "old" not in text


def test_a_failing_process_says_why(tmp_path):
    with pytest.raises(peers.Unavailable, match="failed: ValueError: out of luck"):
        peers.run([sys.executable, "-c", "raise ValueError('out of luck')", "SPEC"], {}, tmp_path)


def test_a_process_gets_the_specification_and_its_last_line_is_the_answer(tmp_path):
    script = "import json, sys; print('noise'); print(json.dumps(json.load(open(sys.argv[1]))))"
    assert peers.run([sys.executable, "-c", script, "SPEC"], {"a": 1}, tmp_path) == {"a": 1}


def test_the_first_part_of_a_market_ends_with_a_packet():
    raw = make(5_000)
    for rows in (3_500, 3_501, 3_502):
        part = run.first_part(raw, rows)
        assert len(part.ts) <= rows
        assert raw.ts[len(part.ts)] != raw.ts[len(part.ts) - 1]


def test_sampled_lanes_belong_to_the_sweep():
    for job in (*jobs.replay_jobs("m", 5), *jobs.long_jobs("m", 3), *jobs.bar_jobs("m", 5)):
        assert set(job.sample) <= set(job.spreads)
