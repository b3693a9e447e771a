"""Drives the engine by a script of :mod:`tests.reference.driver`."""

import numpy as np

from tests.reference.book import Row
from tests.reference.driver import Case, Cut, Result, Send, lane_count, limits_of, schedule
from tests.reference.latency import Table
from tests.reference.model import Report, Settings
from tidewright.engine.impact import Impact
from tidewright.engine.latency import LatencyTable, SampledLatency
from tidewright.engine.replay import Replay, ReplayConfig
from tidewright.market.codes import PACKET_END, UNIT
from tidewright.market.tape import Columns, columns


def config_of(case: Case, record_fills: int = 2) -> ReplayConfig:
    settings = case.settings
    return ReplayConfig(
        start_ns=settings.start_ns,
        cycle_ns=settings.cycle_ns,
        entry_ns=settings.entry_ns,
        response_ns=settings.response_ns,
        queue=settings.queue,
        queue_power=settings.queue_power,
        feed_ns=settings.feed_ns,
        window_ticks=settings.window_ticks,
        limits=limits_of(case),
        record_fills=record_fills,
        record_equity=1,
        parity=settings.parity,
        touch_only=settings.touch_only,
        latency=latency_of(settings),
        impact=None if settings.impact is None else Impact(**vars(settings.impact)),
        fee_asset="CCC" if settings.fee_asset_price else "",
        fee_asset_price=settings.fee_asset_price,
    )


def latency_of(settings: Settings) -> SampledLatency | LatencyTable | None:
    if isinstance(settings.latency, Table):
        return LatencyTable(np.array(settings.latency.rows, np.int64))
    return None if settings.latency is None else SampledLatency(**vars(settings.latency))


def new_replay(case: Case, record_fills: int = 2) -> Replay:
    params = None
    if case.strategy is not None:
        params = {name: np.array([one[name] for one in case.params]) for name in case.params[0]}
    return Replay(
        case.instrument(),
        config_of(case, record_fills),
        strategy=case.strategy,
        params=params,
        lanes=lane_count(case),
        base_units=case.base_units,
        quote_units=case.quote_units,
        check_balance=case.check_balance,
    )


class Feeder:
    """Feeds rows in slices of some packets."""

    def __init__(self, rows: list[Row], slice_packets: int) -> None:
        self.rows = rows
        self.data: Columns = columns((*row,) for row in rows)
        self.ends = [index + 1 for index, row in enumerate(rows) if row.flags & PACKET_END]
        self.slice_packets = slice_packets
        self.fed = 0

    def feed(self, replay: Replay, until_ns: int | None) -> None:
        """Feed the packets up to a time."""
        ends = [end for end in self.ends if end > self.fed and (until_ns is None or self.rows[end - 1].ts <= until_ns)]
        step = self.slice_packets or max(1, len(ends))
        for index in range(0, len(ends), step):
            stop = ends[min(index + step, len(ends)) - 1]
            replay.feed(self.data.rows(self.fed, stop))
            self.fed = stop


def drive(case: Case, record_fills: int = 2) -> list[Result]:
    replay = new_replay(case, record_fills)
    feeder = Feeder(case.rows, case.slice_packets)
    numbers: list[list[int]] = [[] for _ in range(lane_count(case))]
    for at, actions in schedule(case):
        feeder.feed(replay, at)
        replay.advance(at)
        if case.restore_at is not None and case.restore_at <= at:
            replay = Replay.restore(case.instrument(), replay.snapshot())
        for action in actions:
            if isinstance(action, Send):
                number = replay.submit(
                    action.lane,
                    action.side,
                    action.kind,
                    action.tif,
                    action.price,
                    action.qty,
                    at + action.delay,
                    action.tag,
                    action.stop,
                    action.way,
                )
                numbers[action.lane].append(number)
            else:
                known = numbers[action.lane]
                number = known[action.number] if action.number < len(known) else -1 - action.number
                if isinstance(action, Cut):
                    replay.amend(action.lane, number, action.qty, at + action.delay)
                else:
                    replay.cancel(action.lane, number, at + action.delay)
    feeder.feed(replay, None)
    replay.finish()
    return [result_of(case, replay, lane, told, numbers[lane]) for lane, told in enumerate(reports_of(replay))]


def reports_of(replay: Replay) -> list[list[dict[str, int]]]:
    lanes: list[list[dict[str, int]]] = [[] for _ in range(replay.lanes)]
    seq = None
    for record in replay.reports():
        report = {name: int(record[name]) for name in record.dtype.names}
        assert seq is None or report["seq"] == seq + 1, "seq grows by 1 with each report"
        seq = report["seq"]
        lanes[report["lane"]].append(report)
    return lanes


def result_of(case: Case, replay: Replay, lane: int, told: list[dict[str, int]], numbers: list[int]) -> Result:
    index = {number: place for place, number in enumerate(numbers)}
    reports = []
    for report in told:
        number = report["number"]
        if case.strategy is None:
            number = index[number] if number in index else -1 - number
        reports.append(Report(**{name: report[name] for name in Report._fields if name != "number"}, number=number))
    account = replay.account(lane)
    times, equity = replay.equity()
    statistics = {name: float(values[lane]) for name, values in replay.statistics().items()}
    return Result(
        reports,
        account.position_lots,
        account.cash,
        account.fee_base,
        account.fee_quote + account.fee_other,  # one of them is 0
        account.base_locked,
        account.quote_locked,
        [(int(ts), round(float(value) * UNIT)) for ts, value in zip(times, equity[:, lane], strict=True)],
        statistics,
        account.funding,
    )
