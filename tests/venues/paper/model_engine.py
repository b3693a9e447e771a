"""The slow reference model behind the interface that the exchange expects of the engine: nothing to compile."""

from typing import Any

import numpy as np
import numpy.typing as npt

from tests.reference.book import Row
from tests.reference.latency import Sampled
from tests.reference.model import Model, Settings
from tidewright.engine.latency import SampledLatency
from tidewright.market.codes import NO_STOP
from tidewright.market.tape import Columns
from tidewright.venues.paper.desk import Engine, Report
from tidewright.venues.paper.engine import without_filters
from tidewright.venues.paper.market_data import TapeMarket
from tidewright.venues.paper.server import ExchangeOptions

REPORT = np.dtype([(name, np.int64) for name in Report._fields])


class ModelEngine:
    def __init__(self, market: TapeMarket, options: ExchangeOptions, balances: list[dict[str, int]]) -> None:
        instrument = market.instrument
        model = options.latency
        assert model is None or isinstance(model, SampledLatency)
        settings = Settings(
            cycle_ns=1_000_000_000,
            entry_ns=options.entry_ns,
            response_ns=options.response_ns,
            feed_ns=options.feed_ns,
            queue=options.queue,
            latency=None if model is None else Sampled(**model.to_json()),
            window_ticks=1 << 15,  # the engine's own choice is as wide: orders far from the market must be able to rest
        )
        self.model = Model(
            without_filters(instrument),
            settings,
            lanes=len(balances),
            base_units=balances[0].get(instrument.base, 0),
            quote_units=balances[0].get(instrument.quote, 0),
            check_balance=True,
        )
        self._seen = [0] * len(balances)
        self._seq = 0

    def feed(self, columns: Columns) -> None:
        self.model.feed([Row(*(int(value) for value in row)) for row in zip(*columns, strict=True)])

    def advance(self, until_ns: int) -> None:
        self.model.advance(until_ns)

    def submit(
        self,
        lane: int,
        side: int,
        kind: int,
        tif: int,
        price_ticks: int,
        qty_lots: int,
        arrival_ns: int,
        tag: int,
        stop_ticks: int = 0,
        stop_way: int = NO_STOP,
    ) -> int:
        chosen = self.model.lanes[lane]
        return chosen.submit(side, kind, tif, price_ticks, qty_lots, arrival_ns, tag, stop_ticks, stop_way)

    def amend(self, lane: int, number: int, qty_lots: int, arrival_ns: int) -> None:
        self.model.lanes[lane].amend(number, qty_lots, arrival_ns)

    def cancel(self, lane: int, number: int, arrival_ns: int) -> None:
        self.model.lanes[lane].cancel(number, arrival_ns)

    def reports(self) -> npt.NDArray[Any]:
        rows = []
        for number, lane in enumerate(self.model.lanes):
            for report in lane.reports[self._seen[number] :]:
                self._seq += 1
                rows.append((self._seq, number, *report))
            self._seen[number] = len(lane.reports)
        rows.sort(key=lambda row: row[5])
        return np.array(rows, REPORT)


def model_engine(market: TapeMarket, options: ExchangeOptions, balances: list[dict[str, int]]) -> Engine:
    return ModelEngine(market, options, balances)
