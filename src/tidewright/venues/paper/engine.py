"""The matching engine as the exchange runs it: one lane an account, no strategy, balances checked on arrival."""

from dataclasses import replace
from typing import Any

from tidewright.market.instrument import Filters, Instrument
from tidewright.venues.paper.desk import Engine
from tidewright.venues.paper.market_data import TapeMarket
from tidewright.venues.paper.options import ExchangeOptions


def without_filters(instrument: Instrument) -> Instrument:
    """The instrument with every filter off: the exchange judges them by the text it received, before the engine."""
    return replace(instrument, filters=Filters(max_num_orders=1 << 30))


def make_engine(market: TapeMarket, options: ExchangeOptions, balances: list[dict[str, int]]) -> Engine:
    """A replay for the accounts of an exchange.

    Parameters
    ----------
    balances
        1e-8 units by asset, one an account.
    """
    # the engine compiles on import: tests of everything else need not wait for it
    from tidewright.engine.replay import Replay, ReplayConfig

    instrument = market.instrument
    config = ReplayConfig(
        start_ns=int(market.packet_ts[0]),
        cycle_ns=1_000_000_000,
        entry_ns=options.entry_ns,
        response_ns=options.response_ns,
        queue=options.queue,
        queue_power=options.queue_power,
        feed_ns=options.feed_ns,
        latency=options.latency,
    )
    replay: Any = Replay(
        without_filters(instrument),
        config,
        strategy=None,
        params={},
        lanes=len(balances),
        base_units=[b.get(instrument.base, 0) for b in balances],
        quote_units=[b.get(instrument.quote, 0) for b in balances],
        check_balance=True,
    )
    engine: Engine = replay
    return engine
