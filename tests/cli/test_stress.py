"""`tidewright stress` and `tidewright limits`: answers, and mistakes told in one line."""

import json

import orjson
import pytest

from tidewright.cli.main import main
from tidewright.market.instrument import Instrument
from tidewright.risk import gate
from tidewright.risk.limit_state import LimitState
from tidewright.store import schema
from tidewright.store.database import Database

BOOK = """
equity = 10000
[[holding]]
asset = "ETH"
quantity = 1.5
price = 2500
daily_volume = 40000
daily_volatility = 0.04
spread = 0.0002
[[scenario]]
name = "mine"
move = { ETH = -0.5, others = -0.4 }
spread = 30
outage = "10m"
"""


def run(capsys, *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_holdings_are_revalued_in_all_scenarios_and_a_page_is_written(tmp_path, capsys):
    book, page = tmp_path / "book.toml", tmp_path / "page.html"
    book.write_text(BOOK)
    code, out, err = run(capsys, "stress", "-f", str(book), "--html", str(page), "--json")
    assert code == 0, err
    answer = json.loads(out.splitlines()[-1])
    losses = {one["shock"]: one for one in answer["outcomes"]}
    assert losses["mine"]["revaluation"] == pytest.approx(0.5 * 3750)
    assert losses["2025-10-10"]["revaluation"] == pytest.approx(0.16 * 3750) and len(losses) == 14
    assert "stress test" in page.read_text().lower() and "2020-03-12" in err


@pytest.mark.parametrize(
    ("text", "words", "told"),
    [
        (BOOK, ["-s", "nonsense"], "scenario must be one of"),
        ("a = 1", [], "unknown a"),
        ("x ==", [], "is not TOML"),
        (BOOK.replace("price = 2500", "price = 0"), [], "price must be > 0"),
        (BOOK.replace("daily_volume = 40000", ""), [], "missing daily_volume"),
        (BOOK, ["--overlay", "flash-crash"], "--overlay needs --tape"),
        (BOOK, ["--limit", "drawdown"], "--limit takes name=value"),
        (BOOK, ["--limit", "strict=1"], "must be true or false"),
    ],
)
def test_mistakes_are_told_in_one_line(tmp_path, capsys, text, words, told):
    book = tmp_path / "book.toml"
    book.write_text(text)
    code, _, err = run(capsys, "stress", "-f", str(book), *words)
    assert code == 2 and told in " ".join(err.split()) and "Traceback" not in err


def session(folder) -> None:
    database = Database(folder / "session.db")
    instrument = Instrument("binance", "BTCUSDT", "BTC", "USDT", "0.01", "0.00001")
    database.add(
        schema.sessions,
        [
            {
                "session": "s", "started_ns": 1, "started_wall_ns": 1, "ended_ns": 2, "venue": "paper:binance",
                "instrument": orjson.dumps(instrument.to_json()).decode(), "strategy": "grid", "start_base": 10**8,
                "start_quote": 10**12, "start_trade_id": -1, "settings": "{}",
            }
        ],
    )  # fmt: skip
    state = LimitState(1, 100.0, 120.0, gate.DRAWDOWN)
    database.add(
        schema.limit_states,
        [{"account": "paper:binance:BTCUSDT", "ts": 5, "state": orjson.dumps(state.to_json()).decode()}],
    )
    database.add(
        schema.equity,
        [
            {
                "session": "s", "ts": 2, "mid2_ticks": 12_000_000, "equity_units": 90 * 10**8, "base_units": 10**8,
                "quote_units": 10**12, "position_lots": 0, "realised_units": 0, "unrealised_units": 0, "fees_units": 0,
            }
        ],
    )  # fmt: skip
    database.close()


def test_a_halt_is_shown_and_released_with_a_reason_that_is_written_down(tmp_path, capsys):
    session(tmp_path)
    code, out, _ = run(capsys, "limits", str(tmp_path), "--json")
    shown = json.loads(out)
    assert code == 0 and shown["halted_by"] == ["drawdown"] and shown["drawdown"] == pytest.approx(0.25)
    assert run(capsys, "limits", str(tmp_path), "--release", "drawdown")[0] == 2
    code, out, err = run(capsys, "limits", str(tmp_path), "--release", "drawdown", "--reason", "looked at it", "--json")
    assert code == 0, err
    assert json.loads(out)["halted_by"] == [] and json.loads(out)["peak_equity"] == 90.0
    database = Database(tmp_path / "session.db", readonly=True)
    (row,) = database.rows(schema.messages, "s")
    database.close()
    assert row["message_type"] == "risk_event" and row["why"] == "looked at it"
    assert "does not halt" in run(capsys, "limits", str(tmp_path), "--release", "drawdown", "--reason", "x")[2]


def test_a_sessions_position_is_revalued(tmp_path, capsys):
    session(tmp_path)
    code, out, err = run(capsys, "stress", str(tmp_path), "-s", "2020-03-12", "--json")
    assert code == 0, err
    assert json.loads(out)["outcomes"][0]["loss"] == 0.0 and json.loads(out)["equity"] == 90.0
