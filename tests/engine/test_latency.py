"""Latencies that vary: what a user may write, and that a lane's fate does not depend on slices or on other lanes."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.engine.example import SECOND, all_bytes, differences, lane_bytes, market, packet_ends
from tidewright.engine.config import ReplayConfig
from tidewright.engine.latency import LatencyTable, SampledLatency
from tidewright.engine.latency_text import parse_latency
from tidewright.engine.replay import Replay
from tidewright.market.errors import DataError, NotFoundError, UsageError

MS = 1_000_000
SAMPLED = SampledLatency(600 * MS, 400 * MS, 0.5, 5 * SECOND, 0.2, 7)


def table() -> LatencyTable:
    start = int(market(0.15, 3).data.ts[0])
    steps = [(start + i * 20 * SECOND, (i * 977) % 4000 * MS, (i * 311) % 900 * MS) for i in range(40)]
    return LatencyTable(np.array(steps, np.int64))


def new(latency: SampledLatency | LatencyTable, spreads: list[float]) -> Replay:
    config = ReplayConfig(
        cycle_ns=SECOND, window_ticks=1 << 15, record_fills=1, record_equity=1, latency=latency, queue="prob"
    )
    params = {"spread_percentage": spreads, "max_position": 0.05}
    return Replay(market(0.15, 3).instrument, config, "grid", params, quote_units=10**12)


def ran(replay: Replay, ends: list[int]) -> Replay:
    data, first = market(0.15, 3).data, 0
    for end in [*ends, len(data.ts)]:
        if end > first:
            replay.feed(data.rows(first, end))
            first = end
    replay.finish()
    return replay


@pytest.mark.parametrize("latency", [SAMPLED, table()], ids=["sampled", "table"])
def test_slices_snapshots_and_other_lanes_change_nothing(latency: SampledLatency | LatencyTable) -> None:
    spreads = [0.005, 0.01, 0.02, 0.04]
    whole = ran(new(latency, spreads), [])
    assert whole.statistics()["n_fills"].sum() > 10
    alone = ran(new(latency, spreads[2:3]), [])
    reports = whole.reports()
    assert lane_bytes(alone, alone.reports(), 0) == lane_bytes(whole, reports, 2)
    resumed = Replay.restore(whole.instrument, new(latency, spreads).snapshot())
    sliced = ran(resumed, packet_ends(market(0.15, 3).data)[::97])
    found = all_bytes(sliced)
    assert found["reports"] == reports.tobytes()
    assert differences(found, all_bytes(whole)) == ["reports"]  # which were fetched above


def test_the_longest_latency_bounds_what_is_drawn() -> None:
    drawn = np.array([SAMPLED.latencies(1_700_000_000 * SECOND + i * SECOND) for i in range(5_000)])
    assert drawn[:, 0].max() <= SAMPLED.most_entry_ns
    body = drawn[drawn[:, 0] < 5 * SECOND, 0]
    assert np.median(body) == pytest.approx(600 * MS, rel=0.05)
    assert np.log(body).std() == pytest.approx(0.5, rel=0.05)
    assert (drawn >= 5 * SECOND).mean() == pytest.approx(0.2, abs=0.02)
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.05


def test_a_user_writes_a_duration_a_file_or_a_distribution(tmp_path: Path) -> None:
    assert parse_latency("20ms", "30ms")[:3] == (20 * MS, 30 * MS, None)
    assert parse_latency(0.02)[:3] == (20 * MS, 20 * MS, None)
    found = parse_latency("sampled:50ms,response=40ms,sigma=0.2,spike=500ms,p=0.01,seed=7")
    assert found.model == SampledLatency(50 * MS, 40 * MS, 0.2, 500 * MS, 0.01, 7)
    assert "spikes of 500 ms with probability 0.01" in found.said
    rows = {"ts": [10, 20], "entry": [5, 7], "response": [1, 2], "note": ["a", "b"]}
    pl.DataFrame(rows).write_parquet(tmp_path / "l.parquet")
    pl.DataFrame(rows).write_csv(tmp_path / "l.csv")
    np.savez(tmp_path / "l.npz", **{name: np.array(rows[name]) for name in ("ts", "entry", "response")})
    three = np.array([(10, 15, 16), (20, 27, 29)], [("req_ts", "i8"), ("exch_ts", "i8"), ("resp_ts", "i8")])
    np.savez(tmp_path / "h.npz", data=three)
    models = [parse_latency(f"table:{tmp_path / name}").model for name in ("l.parquet", "l.csv", "l.npz", "h.npz")]
    assert all(model == models[0] for model in models)
    assert isinstance(models[0], LatencyTable)
    assert [models[0].latencies(ts) for ts in (0, 10, 15, 20, 99)] == [(5, 1), (5, 1), (6, 1), (7, 2), (7, 2)]


def test_the_median_of_a_table_is_that_of_its_rows(tmp_path: Path) -> None:
    (tmp_path / "two.csv").write_text("ts,entry,response\n10,1000000,2000000\n9000,90000000,2000000\n")
    found = parse_latency(f"table:{tmp_path / 'two.csv'}")
    assert found[:2] == (45_500_000, 2_000_000)
    assert "between 2 recorded rows: median of the rows 45.5 ms there, 2 ms back, longest 90 ms and 2 ms" in found.said


@pytest.mark.parametrize(
    ("text", "kind", "says"),
    [
        ("table:nowhere.csv", NotFoundError, "there is no file nowhere.csv"),
        ("sampled:50ms,spike=1s", UsageError, "a spike needs a size and a probability"),
        ("sampled:50ms,p=x", UsageError, "p of a sampled latency must be a number, was 'x'"),
        ("sampled:50ms,spike=1s,p=2", UsageError, "the probability of a spike must be 0 to 1, was 2.0"),
        ("sampled:50ms,fast", UsageError, "latency must be 50ms, table:FILE"),
        ("sampled:50ms,mean=1", UsageError, "a sampled latency has no 'mean'"),
    ],
)
def test_a_mistake_says_the_rule(text: str, kind: type[Exception], says: str) -> None:
    with pytest.raises(kind, match=says):
        parse_latency(text)


def test_a_table_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("ts,entry\n1,2\n")
    with pytest.raises(DataError, match="must have the columns ts, entry, response"):
        parse_latency(f"table:{tmp_path / 'l.csv'}")
    (tmp_path / "l.csv").write_text("ts,entry,response\n1,2,1.5\n")
    with pytest.raises(DataError, match=r"column response .* must hold whole numbers of ns"):
        parse_latency(f"table:{tmp_path / 'l.csv'}")
    with pytest.raises(UsageError, match="times of a table of latencies must increase, row 1 does not"):
        LatencyTable(np.array([[5, 1, 1], [5, 1, 1]]))
    with pytest.raises(UsageError, match="0 ns to an hour, row 0"):
        LatencyTable(np.array([[5, -1, 1]]))


def test_a_cut_or_damaged_table_names_what_of_it_is_damaged(tmp_path: Path) -> None:
    frame = pl.DataFrame({name: np.arange(1, 5001) for name in ("ts", "entry", "response")})
    frame.write_parquet(tmp_path / "l.parquet")
    np.savez(tmp_path / "l.npz", **{name: frame[name].to_numpy() for name in frame.columns})
    whole = (tmp_path / "l.npz").read_bytes()
    (tmp_path / "bad.npz").write_bytes(whole[:60_000] + b"\xff" * 8 + whole[60_008:])
    (tmp_path / "cut.npz").write_bytes(whole[:-30])
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "l.parquet").read_bytes()[:-30])
    for name, said in (
        ("bad.npz", "array entry is damaged"),
        ("cut.npz", "cut off, the directory at its end is missing"),
        ("cut.parquet", "the directory at the end of the parquet file is missing"),
    ):
        with pytest.raises(DataError, match=said):
            parse_latency(f"table:{tmp_path / name}")
