"""``tidewright report`` on a session's database."""

import json
import math
from pathlib import Path

import numpy as np
import orjson
import pytest

from tidewright.cli.main import main
from tidewright.interface.session_report import find_database, load_session
from tidewright.market.clock import SECOND
from tidewright.market.codes import ASK, BID, BUY, GTC, LIMIT, PACKET_END, SELL, SNAPSHOT, UNIT
from tidewright.market.errors import DataError, NotFoundError
from tidewright.market.instrument import Instrument
from tidewright.market.tape import columns
from tidewright.market.tape_writer import TapeWriter
from tidewright.measure.report import summarise
from tidewright.store import schema
from tidewright.store.database import Database

START = 1_770_000_000 * SECOND
CYCLE = 30 * SECOND
INSTRUMENT = Instrument("paper", "BTCUSDT", "BTC", "USDT", "0.01", "0.001", maker_fee=10_000, taker_fee=50_000)
MID2 = 12_000_000  # 60,000.00 in half ticks


def fill(
    number: int, at: int, side: int, price: int, fee_units: int, asset: str, maker: bool = True
) -> dict[str, object]:
    return {
        "trade_id": number,
        "session": "s1",
        "client_order_id": f"tw-s1-{number}",
        "order_id": number,
        "ts": at,
        "side": side,
        "price_ticks": price,
        "qty_lots": 2,
        "fee_units": fee_units,
        "fee_asset": asset,
        "maker": int(maker),
    }


def order(number: int, state: str) -> dict[str, object]:
    return {
        "client_order_id": f"tw-s1-{number}",
        "session": "s1",
        "order_id": number,
        "side": BUY,
        "kind": LIMIT,
        "tif": GTC,
        "price_ticks": 5_999_000,
        "qty_lots": 2,
        "filled_lots": 0,
        "state": state,
        "reason": "",
        "created_ns": START,
        "updated_ns": START,
    }


def message(
    number: int, verdict: str, body: dict[str, object] | str, kind: str = "parameter_update"
) -> dict[str, object]:
    return {
        "number": number,
        "session": "s1",
        "ts": START + number * CYCLE,
        "direction": "in",
        "message_type": kind,
        "body": body if isinstance(body, str) else orjson.dumps(body).decode(),
        "verdict": verdict,
        "why": "why " + verdict,
    }


def update(confidence: float) -> dict[str, object]:
    data: dict[str, object] = {
        "proposal_id": f"p{confidence}",
        "optimized_params": {"spread_percentage": 0.2, "levels": 4},
        "performance_metrics": {"sqn_score": 1.5, "sharpe_ratio": None, "max_drawdown": 0.01},
        "confidence_score": confidence,
    }
    return {"source_agent": "optimizer", "message_type": "parameter_update", "data": data}


def session_row(name: str, wall: int, ended: int | None) -> dict[str, object]:
    return {
        "session": name,
        "started_ns": START,
        "started_wall_ns": wall,
        "ended_ns": ended,
        "venue": "paper:binance",
        "instrument": orjson.dumps(INSTRUMENT.to_json()).decode(),
        "strategy": "grid",
        "start_base": UNIT // 10,
        "start_quote": 10_000 * UNIT,
        "start_trade_id": 0,
        "settings": orjson.dumps(
            {"cycle_ns": CYCLE, "latency": {"entry_ns": 50_000_000}, "seed": 7, "x": None}
        ).decode(),
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A session's folder: 40 cycles, one round trip, two proposals and one that is no message, and its tape."""
    folder = tmp_path / "runs" / "s1"
    folder.mkdir(parents=True)
    database = Database(folder / "session.db")
    database.add(schema.sessions, [session_row("s0", 1, None), session_row("s1", 2, START + 40 * CYCLE)])
    database.add(schema.orders, [order(1, "FILLED"), order(2, "FILLED"), order(3, "REJECTED"), order(4, "CANCELED")])
    fills = [
        fill(1, START + 40 * SECOND, BUY, 5_999_000, 20_000, "BTC"),
        fill(2, START + 100 * SECOND, SELL, 6_001_000, 1_200_200, "USDT", maker=False),
    ]
    database.add(schema.fills, fills)
    rng = np.random.default_rng(0)
    capital = 16_000 * UNIT
    points = [
        {
            "session": "s1",
            "ts": START + k * CYCLE,
            "mid2_ticks": MID2,
            "equity_units": capital + int(rng.integers(-100, 110)) * UNIT // 100,
            "base_units": UNIT // 10,
            "quote_units": 10_000 * UNIT,
            "position_lots": 2 if k in (2, 3) else 0,
            "realised_units": 0,
            "unrealised_units": 0,
            "fees_units": 0,
        }
        for k in range(1, 41)
    ]
    database.add(schema.equity, points)
    decision = {"session": "s1", "state": "[]", "quotes": "{}", "placed": 1, "cancelled": 1, "why": ""}
    database.add(schema.decisions, [decision | {"ts": START + k * CYCLE} for k in range(1, 39)])
    score = {"n": 2, "brier": 0.17, "reliability": 0.01, "resolution": 0.02, "uncertainty": 0.25, "ece": 0.05}
    score |= {"bins": [{"forecast": 0.4, "frequency": 0.5, "n": 2}]}  # type: ignore[dict-item]
    told = [{"proposal_id": "p0.8", "outcome": 1.0}, {"proposal_id": "unsent", "outcome": 0.0}]
    rows = [message(1, "accepted", update(0.8)), message(2, "refused", update(0.3)), message(3, "invalid", "", "")]
    rows.append(
        message(
            4,
            "",
            {"data": {"state": "ready", "reliability": score, "settled": told, "assumptions": ["a", "b"]}},
            "status",
        )
    )
    database.add(schema.messages, rows)
    database.close()
    with TapeWriter(folder / "tape", INSTRUMENT) as tape:
        snapshot = [
            (START - SECOND, 0, BID, SNAPSHOT, 5_999_900, 1),
            (START - SECOND, 0, ASK, SNAPSHOT | PACKET_END, 6_000_100, 1),
            (START + 200 * SECOND, 0, BID, PACKET_END, 5_999_900, 2),
        ]
        tape.append(columns(snapshot))
    return folder


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = 0
    try:
        main(["report", *arguments])
    except SystemExit as end:
        code = int(end.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_reads_the_ledger_exactly(folder: Path) -> None:
    data = load_session(folder / "session.db")
    assert data.facts.session == "s1" and data.facts.cycle_ns == CYCLE and data.facts.ended_ns == START + 40 * CYCLE
    # The capital at the start is the first point: 10,000 + 0.1 x 60,000.
    assert data.equity_ts[0] == START and data.equity[0] == pytest.approx(16_000.0)
    assert len(data.equity) == 41 and data.position[2] == pytest.approx(0.002)
    assert (data.orders, data.cancels, data.rejects, data.cycles, data.cycles_due) == (4, 1, 1, 38, 39)
    assert data.fees_by_asset == {"BTC": "0.00020000", "USDT": "0.01200200"}
    assert data.fills.fee.tolist() == pytest.approx([0.0002 * 59_990, 0.012002])
    assert [p.verdict for p in data.proposals] == ["accepted", "refused", "invalid"]
    assert [p.outcome for p in data.proposals] == [1.0, None, None]
    assert ("optimizer", "a; b") in data.assumptions
    assert (data.facts.mode, data.facts.venue) == ("paper", "binance")
    assert data.proposals[0].confidence == 0.8 and math.isnan(data.proposals[2].confidence)
    assert data.proposals[0].metrics == {"sqn_score": 1.5, "max_drawdown": 0.01}
    assert ("latency.entry", "50 ms") in data.assumptions and ("seed", "7") in data.assumptions
    assert ("x", "none") in data.assumptions


def test_a_market_that_was_recorded_coarsely_is_said_to_be(folder: Path) -> None:
    """The session's own tape holds what a paper exchange published, which sounds finer than what that replayed."""
    database = Database(folder / "session.db")
    settings = {"market_detail": "20 levels every 254 ms + trades (degraded)"}
    database.add(schema.sessions, [{**session_row("s2", 3, None), "settings": orjson.dumps(settings).decode()}])
    points = [{**row, "session": "s2"} for row in database.rows(schema.equity, "s1")]
    database.add(schema.equity, points)
    database.commit()
    database.close()
    told = dict(load_session(folder / "session.db", "s2").assumptions)["Tape detail"]
    assert told.startswith("book snapshots+trades (20 levels every 254 ms + trades (degraded)): ")


def test_summary_of_the_ledger(folder: Path) -> None:
    got = summarise(load_session(folder / "session.db"))
    assert got.figures["closed_trades"] == 1
    assert got.figures["realised_profit"] == pytest.approx(0.002 * 20 - 0.0002 * 59_990 - 0.012002)
    assert got.uptime == pytest.approx(38 / 39)
    assert got.accepted == 1 and got.refused == 2
    assert got.reliability is not None and got.reliability.brier == 0.17 and got.reliability.base_rate == 0.5
    maker = got.markouts[0]
    assert maker.group == "maker" and maker.count == 1
    assert maker.before_fee_bp == pytest.approx((60_000 - 59_990) / 59_990 * 1e4)


def test_command_prints_the_table_writes_the_page_and_answers_json(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run([str(folder), "--json"], capsys)
    assert code == 0 and "SUMMARY METRICS" in err and "Uptime" in err
    answer = json.loads(out.splitlines()[-1])
    assert answer["figures"]["fills"] == 2 and answer["report"] == str(folder / "report.html")
    assert (folder / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert answer["session"]["ended_in_order"] is True


def test_the_page_goes_where_it_is_told(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run([str(folder / "session.db"), "--html", str(tmp_path / "x" / "page.html")], capsys)
    assert code == 0 and out == "" and (tmp_path / "x" / "page.html").is_file()
    assert not (folder / "report.html").exists()


def test_newest_session_under_runs_is_the_default(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent.parent)
    assert find_database(None) == Path("runs/s1/session.db")
    assert run([], capsys)[0] == 0


def test_a_session_without_equity_or_tape_still_reports(folder: Path) -> None:
    data = load_session(folder / "session.db", "s0")
    assert len(data.equity) == 1 and data.equity[0] == pytest.approx(10_000.0)
    assert data.facts.ended_ns is None and len(data.fills) == 0
    summarise(data)
    (folder / "tape" / "price").unlink()
    damaged = load_session(folder / "session.db")
    assert damaged.mids is None and ("Mark-outs", "not given: the session's tape is not there") in damaged.assumptions


def test_commission_in_another_asset_is_counted_but_said_not_to_be_valued(folder: Path) -> None:
    database = Database(folder / "session.db")
    database.add(schema.fills, [fill(3, START + 120 * SECOND, BUY, 6_000_000, 5, "BNB")])
    database.close()
    data = load_session(folder / "session.db")
    assert data.fees_by_asset["BNB"] == "0.00000005" and data.fills.fee[2] == 0.0
    assert any(name == "Fees not valued" and "BNB" in value for name, value in data.assumptions)


def test_what_is_not_there_is_a_clear_error(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = run([str(tmp_path / "nowhere")], capsys)
    assert code == 6 and "no session at" in err and out == ""
    (tmp_path / "text.db").write_text("this is no database, it is a text that is long enough to be read as one")
    code, _, err = run([str(tmp_path / "text.db")], capsys)
    assert code == 2 and "not a session database" in err and "Traceback" not in err
    code, _, err = run([str(folder), "--session", "other"], capsys)
    assert code == 6 and "other" in err
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert run([], capsys)[0] == 6
    (folder / "second.sqlite").touch()
    with pytest.raises(DataError, match="holds 2 databases"):
        find_database(folder)
    with pytest.raises(NotFoundError):
        find_database(tmp_path / "empty")
