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


MACHINE = {"cpu": "x", "cores": 2, "memory_gib": 4, "system": "y", "python": "3", "load_average": [0.5]}


def written(page, order, load, *rows):
    """The page after a run of some rows on a machine with such a load."""
    machine = MACHINE | {"load_average_after": [load]}
    result = {"rows": list(rows), "rounds": 1, "versions": {"a": {"b": "1"}}, "markets": {}, "machine": machine}
    table.write_document(page, result, order)
    return page.read_text(encoding="utf-8")


def test_rows_of_peers_that_were_not_run_stay_with_their_notes_and_in_their_place(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{table.BEGIN}\n{table.END}\nafter\n", encoding="utf-8")
    order = ["first 1.0", "second, 1 thread", "third"]
    first, second, third = (ROW | {"with": title} for title in order)
    whole = written(page, order, 1.5, first, first | {"name": "gone"}, third, third | {"peer": [], "reason": "broken"})
    text = written(page, order, 2.5, second, first | {"name": "again"})
    names = [line.split(" | ")[:3:2] for line in text.splitlines() if line.startswith("| a")]
    assert names == [
        ["| again", "first 1.0"],
        ["| a job", "second, 1 thread"],
        ["| a job", "third"],
        ["| a job", "third"],
    ]
    kept = [line for line in whole.splitlines() if "third" in line and line.startswith("|")]
    assert [line for line in text.splitlines() if "third" in line and line.startswith("|")] == kept and len(kept) == 2
    parts = text.split(table.TOGETHER)
    assert parts[1].startswith("third:\n") and "1.5 after" in parts[1]
    assert parts[2].startswith("second, 1 thread; first 1.0:\n") and "2.5 after" in parts[2]
    assert text.endswith("after\n") and text.count("| Job |") == 1


def test_notes_go_with_the_last_row_they_are_of(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"{table.BEGIN}\n{table.END}\n", encoding="utf-8")
    written(page, ["a peer 1.0"], 1.5, ROW)
    text = written(page, ["a peer 1.0"], 2.5, ROW)
    assert "1.5 after" not in text and text.count("| a job |") == 1


def test_rows_of_an_older_version_of_a_peer_go(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"{table.BEGIN}\n{table.END}\n", encoding="utf-8")
    written(page, ["a peer 1.0"], 1.5, ROW)
    text = written(page, ["a peer 2.0", "another"], 2.5, ROW | {"with": "another"})
    assert "a peer 1.0" not in text


def test_steps_are_told_as_a_rate_beside_figures_that_are_quoted():
    row = table.new_row("steps", "others (quoted)", "step") | {"lanes": 64, "ours": [2e6, 4e6, 3e6], "reason": "quoted"}
    assert table.line(row) == ("steps", "3 M steps/s (2–4)", "others (quoted)", "quoted", "–", "–")


def test_the_page_keeps_its_own_rows_when_only_one_more_peer_is_run(tmp_path):
    page = tmp_path / "page.md"
    page.write_text((peers.ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8"), encoding="utf-8")
    order = [peer.title for peer in run.TABLE]

    def rows_of(text):
        lines = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
        return [cells for cells in lines if len(cells) == len(table.COLUMNS) and cells[2] in order[:-1]]

    before = rows_of(page.read_text(encoding="utf-8"))
    text = written(page, order, 1.5, ROW | {"with": order[-1]})
    assert rows_of(text) == before and before
    assert f"| a job | 20.0 ns an event (10.0–30.0) | {order[-1]} |" in text


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
