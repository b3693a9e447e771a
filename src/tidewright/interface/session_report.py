"""A session's database read into a report: the one place that knows both the tables and the report."""

import math
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson

from tidewright.interface import advice_report, agents_view, seat_report
from tidewright.market.clock import DAY, MILLISECOND, SECOND, iso
from tidewright.market.codes import UNIT
from tidewright.market.detail import Detail, detail_of
from tidewright.market.errors import DataError, NotFoundError, TidewrightError
from tidewright.market.instrument import Instrument, units_text
from tidewright.market.tape import Tape
from tidewright.measure.mids import MidSeries, tape_mids
from tidewright.measure.presentation import duration_text, number_text
from tidewright.measure.reliability import Reliability, of_plain
from tidewright.measure.report import Proposal, ReportData, SessionFacts, Summary, Verdict, summarise
from tidewright.measure.report_page import write_page
from tidewright.measure.trades import Fills
from tidewright.store import schema
from tidewright.store.database import Database, Row

DATABASE_NAMES: Final = (".db", ".sqlite", ".sqlite3")
_A_DATE: Final = 10_000 * DAY  # nanoseconds from here on are a time, not a duration
_DEFAULT_CYCLE: Final = 30 * SECOND
_EVENTS_SHOWN: Final = 5
EXECUTOR: Final = "executor"


@dataclass(frozen=True, slots=True)
class Report:
    """A session's report.

    Attributes
    ----------
    data, summary
        Facts and numbers.
    page
        The HTML page that was written.
    """

    data: ReportData
    summary: Summary
    page: Path


def find_database(path: Path | None) -> Path:
    """The database of a session: the file itself, the one in a folder, or the newest under ``./runs``.

    Raises
    ------
    NotFoundError
        If there is none.
    DataError
        If a folder holds several.
    """
    if path is None:
        found = [file for folder in Path("runs").glob("*") if folder.is_dir() for file in _databases(folder)]
        if not found:
            raise NotFoundError("no session under ./runs; name a session's folder or database")
        return max(found, key=lambda file: file.stat().st_mtime_ns)
    if path.is_dir():
        found = _databases(path)
        if not found:
            raise NotFoundError(f"no session database in {path}")
        if len(found) > 1:
            raise DataError(
                f"{path} holds {len(found)} databases: {', '.join(sorted(f.name for f in found))}; name one"
            )
        return found[0]
    if not path.is_file():
        raise NotFoundError(f"no session at {path}")
    return path


def _databases(folder: Path) -> list[Path]:
    return [file for file in folder.iterdir() if file.is_file() and file.suffix in DATABASE_NAMES]


def write_report(path: Path, html: str | os.PathLike[str] | None = None, session: str | None = None) -> Report:
    """Report a session and write its page, by default ``report.html`` beside the database."""
    data = load_session(path, session)
    summary = summarise(data)
    page = write_page(html if html is not None else path.with_name("report.html"), data, summary)
    return Report(data, summary, page)


def load_session(path: Path, session: str | None = None) -> ReportData:
    """Everything the report of one session needs.

    Parameters
    ----------
    path
        The database.
    session
        Which session in it; ``None``: the last that was started.

    Raises
    ------
    NotFoundError
        If there is no such file or session.
    DataError
        If the file is not a session's database.
    """
    database = Database(path, readonly=True)
    try:
        head = _session_row(database, path, session)
        tables = {
            table.name: database.rows(table, head["session"])
            for table in (
                schema.orders,
                schema.fills,
                schema.equity,
                schema.decisions,
                schema.messages,
                schema.sub_accounts,
            )
        }
    finally:
        database.close()
    instrument = Instrument.from_json(orjson.loads(head["instrument"]))
    settings: dict[str, Any] = orjson.loads(head["settings"] or "{}")
    fills, fees, foreign = _fills(tables["fills"], instrument)
    ts, equity, position, untouched = _equity(tables["equity"], head, instrument)
    assumptions = _assumptions(settings, instrument)
    if foreign:
        assumptions += (("Fees not valued", f"commission in {', '.join(foreign)} is not in the profit of trades"),)
    found = _mids(path, settings, instrument, ts)
    mids, detail = found if found is not None else (None, None)
    if detail is not None and settings.get("market_detail"):  # the session's own tape says what it heard of that market
        detail = detail_of({"detail": settings["market_detail"]})
    if detail is not None:
        assumptions += (("Tape detail", f"{detail.level} ({detail.text}): {detail.fills}"),)
    else:
        assumptions += (("Mark-outs", "not given: the session's tape is not there"),)
    assumptions += _advisor_assumptions(tables["messages"])
    assumptions += agents_view.notes(tables["sub_accounts"], instrument)
    assumptions += _risk_notes(tables["decisions"], tables["messages"])
    agents = agents_view.accounts(tables["sub_accounts"], instrument)
    orders, cycle_ns = tables["orders"], _cycle_ns(settings, tables["decisions"])
    facts = SessionFacts(
        session=head["session"],
        venue=head["venue"].rpartition(":")[2],
        symbol=instrument.symbol,
        base=instrument.base,
        quote=instrument.quote,
        strategy=", ".join((settings.get("agents") or {}).get("strategies") or ()) or head["strategy"],
        mode=str(settings.get("mode") or head["venue"].partition(":")[0]),
        started_ns=head["started_ns"],
        ended_ns=head["ended_ns"],
        cycle_ns=cycle_ns,
    )
    return ReportData(
        facts,
        ts,
        equity,
        position,
        fills,
        orders=len(orders),
        cancels=sum(row["state"] == "CANCELED" for row in orders),
        rejects=sum(row["state"] == "REJECTED" for row in orders),
        cycles=len(tables["decisions"]),
        cycles_due=_due(ts, tables["decisions"], cycle_ns),
        proposals=_proposals(tables["messages"]),
        assumptions=assumptions,
        mids=mids,
        fees_by_asset={asset: units_text(units) for asset, units in fees.items()},
        errors=sum(row["verdict"] == "error" for row in tables["messages"]),
        untouched=untouched,
        reliability=None if agents else _reliability(tables["messages"]),  # the optimizer keeps one an agent
        stages=advice_report.stages(tables["messages"]),
        regrets=advice_report.regrets(tables["messages"]),
        seat=seat_report.account(path.parent, tables["decisions"], tables["messages"]),
        agents=agents,
    )


def _session_row(database: Database, path: Path, session: str | None) -> Row:
    rows = database.sessions()
    chosen = [row for row in rows if session in (None, row["session"])]
    if not chosen:
        raise NotFoundError(f"no session {session!r} in {path}" if session else f"{path} holds no session")
    return chosen[-1]


def _fills(rows: list[Row], instrument: Instrument) -> tuple[Fills, dict[str, int], list[str]]:
    rows = sorted(rows, key=lambda row: (row["ts"], row["trade_id"]))
    tick, lot = float(instrument.tick), float(instrument.lot)
    fees: dict[str, int] = {}
    for row in rows:
        fees[row["fee_asset"]] = fees.get(row["fee_asset"], 0) + row["fee_units"]
    price = np.array([row["price_ticks"] * tick for row in rows], np.float64)
    worth = {instrument.quote: np.ones(len(rows)), instrument.base: price}
    fee = np.array(
        [row["fee_units"] / UNIT * worth[row["fee_asset"]][i] if row["fee_asset"] in worth else 0.0
         for i, row in enumerate(rows)],
        np.float64,
    )  # fmt: skip
    fills = Fills(
        np.array([row["ts"] for row in rows], np.int64),
        np.array([row["side"] for row in rows], np.uint8),
        price,
        np.array([row["qty_lots"] * lot for row in rows], np.float64),
        np.array([bool(row["maker"]) for row in rows], np.bool_),
        fee,
    )
    return fills, fees, sorted(asset for asset, units in fees.items() if units and asset not in worth)


def _equity(
    rows: list[Row], head: Row, instrument: Instrument
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    half_tick = float(instrument.tick) / 2.0

    def alone(mid2: int) -> float:
        return float(head["start_quote"] + head["start_base"] * mid2 * half_tick)

    points = [(row["ts"], row["equity_units"], row["position_lots"], alone(row["mid2_ticks"])) for row in rows]
    if not points or points[0][0] > head["started_ns"]:
        # The capital the session began with is the base of the first return, at the first mid that is known.
        capital = alone(rows[0]["mid2_ticks"] if rows else 0)
        points.insert(0, (head["started_ns"], capital, 0, capital))
    ts, equity, position, untouched = (np.array(column) for column in zip(*points, strict=True))
    return (
        ts.astype(np.int64),
        equity.astype(np.float64) / UNIT,
        position * float(instrument.lot),
        untouched.astype(np.float64) / UNIT,
    )


def _cycle_ns(settings: Mapping[str, Any], decisions: list[Row]) -> int:
    stated = settings.get("cycle_ns")
    if isinstance(stated, int) and stated > 0:
        return stated
    steps = np.diff([row["ts"] for row in decisions])
    return int(np.median(steps)) if len(steps) else _DEFAULT_CYCLE


def _due(equity_ts: npt.NDArray[np.int64], decisions: list[Row], cycle_ns: int) -> int:
    """Decision times from the start on; the end is one only if something was decided then."""
    first, last = int(equity_ts[0]), int(equity_ts[-1])
    decided = bool(decisions) and decisions[-1]["ts"] >= last
    return max(0, (last - first - (0 if decided else 1)) // cycle_ns)


def _mids(
    path: Path, settings: Mapping[str, Any], instrument: Instrument, equity_ts: npt.NDArray[np.int64]
) -> tuple[MidSeries, Detail] | None:
    """Mids of the session's tape, and what that tape tells."""
    named = settings.get("tape")
    places = [Path(named), path.parent / named] if isinstance(named, str) else []
    places += [folder for folder in sorted(path.parent.iterdir()) if (folder / "meta.json").is_file()]
    for place in places:
        try:
            tape = Tape.open(place)
        except TidewrightError:
            continue  # a tape that is gone or damaged costs the mark-outs, not the report
        if tape.instrument.symbol == instrument.symbol and tape.end_ns >= int(equity_ts[0]):
            mids = tape_mids(tape.data, float(tape.instrument.tick))
            first = max(0, int(np.searchsorted(mids.ts, int(equity_ts[0]), side="right")) - 1)
            return MidSeries(mids.ts[first:], mids.mid[first:], mids.until_ns), detail_of(tape.meta)
    return None


# -- messages ----------------------------------------------------------------------------------------------------------


def _body(row: Row) -> dict[str, Any]:
    try:
        value = orjson.loads(row["body"])
    except orjson.JSONDecodeError:
        return {}  # what came was not a message: its row says so
    return value if isinstance(value, dict) else {}


def _data(row: Row) -> dict[str, Any]:
    value = _body(row).get("data")
    return value if isinstance(value, dict) else {}


def _numbers(value: object) -> dict[str, float]:
    if not isinstance(value, dict):
        return {}
    return {str(k): float(v) for k, v in value.items() if isinstance(v, int | float) and not isinstance(v, bool)}


def _proposals(rows: list[Row]) -> tuple[Proposal, ...]:
    outcomes = _outcomes(rows)
    found = []
    for row in rows:
        # What came in place of a proposal and broke the schema has no type.
        invalid = row["message_type"] == "" and row["verdict"] == "invalid"
        if row["direction"] != "in" or not (row["message_type"] == "parameter_update" or invalid):
            continue
        data = _data(row)
        confidence = data.get("confidence_score")
        verdict: Verdict = row["verdict"]
        found.append(
            Proposal(
                ts=row["ts"],
                source=str(_body(row).get("source_agent", "unknown")),
                confidence=float(confidence) if isinstance(confidence, int | float) else math.nan,
                verdict=verdict,
                why=_addressed(row),
                params=_numbers(data.get("optimized_params")),
                metrics=_numbers(data.get("performance_metrics")),
                outcome=outcomes.get(str(data.get("proposal_id"))),
                ahead=advice_report.ahead(data),
            )
        )
    return tuple(found)


def _addressed(row: Row) -> str:
    """Why a proposal was taken or not, with the agent it was for where several trade."""
    agent = str(_body(row).get("target_agent", EXECUTOR))
    return row["why"] if agent == EXECUTOR else f"{agent}: {row['why']}"


def _outcomes(rows: list[Row]) -> dict[str, float]:
    """What became of earlier proposals, as later messages of their sender tell it, by proposal id."""
    told: dict[str, float] = {}
    for row in rows:
        settled = _data(row).get("settled") if row["direction"] == "in" else None
        for item in settled if isinstance(settled, list) else []:
            if isinstance(item, dict) and isinstance(item.get("outcome"), int | float):
                told[str(item.get("proposal_id"))] = float(item["outcome"])
    return told


def _reliability(rows: list[Row]) -> Reliability | None:
    """The score the optimizer keeps of its own forecasts, from its last message that carries one."""
    found = (of_plain(_data(row).get("reliability")) for row in reversed(rows) if row["direction"] == "in")
    return next((score for score in found if score is not None), None)


# -- assumptions -------------------------------------------------------------------------------------------------------


def _assumptions(settings: Mapping[str, Any], instrument: Instrument) -> tuple[tuple[str, str], ...]:
    rates = f"maker {_percent(instrument.maker_fee)}, taker {_percent(instrument.taker_fee)}"
    pairs = [
        ("Fees", f"{rates}, taken in what is received"),
        ("Instrument", f"tick {instrument.tick_size} {instrument.quote}, lot {instrument.lot_size} {instrument.base}"),
    ]
    pairs += _flat("", {name: value for name, value in settings.items() if name != "market_detail"})  # "Tape detail"
    return tuple(pairs)


def _advisor_assumptions(rows: list[Row]) -> tuple[tuple[str, str], ...]:
    for row in reversed(rows):
        listed = _data(row).get("assumptions") if row["direction"] == "in" else None
        if isinstance(listed, list) and listed:
            return (("optimizer", "; ".join(map(str, listed))),)
    return ()


def _risk_notes(decisions: list[Row], messages: list[Row]) -> tuple[tuple[str, str], ...]:
    """What limits held back, and the risk events."""
    held: Counter[str] = Counter()
    for row in decisions:
        held.update(part for part in str(row["why"]).split("; ") if part)
    events = [str(row["why"]) for row in messages if row["message_type"] == "risk_event"]
    notes = []
    if held:
        counted = ", ".join(f"{why} {count}" for why, count in held.most_common())
        notes.append(("Held back, decisions", counted))
    if events:
        shown = "; ".join(events[-_EVENTS_SHOWN:])
        notes.append(("Risk events", f"{len(events)}, the newest: {shown}"))
    return tuple(notes)


def _percent(rate: int) -> str:
    return f"{number_text(rate / UNIT * 100, 3)} %"


def _flat(prefix: str, value: Mapping[str, Any]) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for key, item in value.items():
        name = f"{prefix}{key}"
        if isinstance(item, Mapping):
            pairs += _flat(f"{name}.", item)
        elif name.endswith("_ns") and isinstance(item, int) and item > _A_DATE:
            pairs.append((name.removesuffix("_ns"), iso(item)))
        elif name.endswith("_ns") and isinstance(item, int):
            short = item < SECOND
            pairs.append((name.removesuffix("_ns"), f"{item / MILLISECOND:g} ms" if short else duration_text(item)))
        elif item is None:
            pairs.append((name, "none"))
        else:
            pairs.append((name, str(item)))
    return pairs
