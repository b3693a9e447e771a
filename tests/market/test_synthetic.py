import numpy as np
import pytest

from tidewright.market import codes
from tidewright.market.binance_stream import BinanceStream
from tidewright.market.errors import UsageError
from tidewright.market.synthetic import REGIME_NAMES, Generator, generate, synthesize, synthetic_instrument
from tidewright.market.tape import Tape, concatenate

SECOND = 1_000_000_000


class Played:
    """The touch after every packet of a tape, by dictionaries: slow and obvious."""

    def __init__(self, tape: Tape) -> None:
        books: tuple[dict[int, int], dict[int, int]] = ({}, {})
        data = tape.data
        best, self.crossed, self.most_levels = [None, None], 0, 0
        ts, mid, spread = [], [], []
        rows = zip(*(c.tolist() for c in (data.ts, data.kind, data.flags, data.price, data.qty)), strict=True)
        for time, kind, flags, price, qty in rows:
            if kind <= codes.ASK:
                book, choose = books[kind], (max, min)[kind]
                if qty:
                    book[price] = qty
                    best[kind] = price if best[kind] is None else choose(best[kind], price)
                else:
                    del book[price]  # a level that is removed must have been known
                    if price == best[kind]:
                        best[kind] = choose(book)
            if flags & codes.PACKET_END:
                self.crossed += best[0] >= best[1]
                self.most_levels = max(self.most_levels, len(books[0]), len(books[1]))
                ts.append(time)
                mid.append((best[0] + best[1]) / 2)
                spread.append(best[1] - best[0])
        self.ts, self.mid, self.spread = np.array(ts), np.array(mid), np.array(spread)

    def mid_at(self, ts: np.ndarray) -> np.ndarray:
        return self.mid[np.searchsorted(self.ts, ts, "right") - 1]


@pytest.fixture(scope="module")
def tape() -> Tape:
    return synthesize(None, hours=12, seed=3)


@pytest.fixture(scope="module")
def played(tape) -> Played:
    return Played(tape)


def minute_returns(played: Played) -> np.ndarray:
    return np.diff(np.log(played.mid_at(np.arange(played.ts[0], played.ts[-1], 60 * SECOND))))


def test_same_seed_gives_the_same_bytes_and_another_seed_does_not(tmp_path):
    synthesize(tmp_path / "a", hours=0.2, seed=5)
    synthesize(tmp_path / "b", hours=0.2, seed=5)
    synthesize(tmp_path / "c", hours=0.2, seed=6)
    for name in ("ts", "ts_local", "kind", "flags", "price", "qty"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert (tmp_path / "a" / "price").read_bytes() != (tmp_path / "c" / "price").read_bytes()


def test_a_shorter_market_is_the_beginning_of_a_longer_one(tape):
    short = synthesize(None, hours=3, seed=3)
    for mine, whole in zip(short.data, tape.data, strict=True):
        assert (mine == whole[: len(mine)]).all()


def test_chunks_are_whole_packets(tape):
    chunks = list(generate(hours=12, seed=3))
    assert len(chunks) > 2 and all(chunk.flags[-1] & codes.PACKET_END for chunk in chunks)
    assert (concatenate(chunks).price == tape.data.price).all()


def test_starts_with_a_reset_and_a_snapshot_of_both_sides(tape):
    data = tape.data
    assert data.kind[0] == codes.RESET
    end = int(np.argmax(data.flags & codes.PACKET_END))
    assert (data.flags[1:end] == codes.SNAPSHOT).all() and set(data.kind[1:end].tolist()) == {codes.BID, codes.ASK}
    assert not (data.flags[end + 1 :] & codes.SNAPSHOT).any()


def test_book_is_never_crossed_and_levels_are_bounded(played):
    assert played.crossed == 0
    assert 80 <= played.most_levels <= 150


def test_times_and_quantities_keep_the_tapes_rules(tape):
    data = tape.data
    assert (np.diff(data.ts) >= 0).all() and (data.ts % 1_000_000 == 0).all()
    assert (data.ts_local > data.ts).all() and (np.diff(data.ts_local) >= 0).all()
    trades = (data.kind == codes.TRADE_BUY) | (data.kind == codes.TRADE_SELL)
    assert (data.qty >= 0).all() and (data.qty[trades] > 0).all()


def test_rate_is_about_what_was_asked():
    for rate in (1.0, 2.5):
        packets = np.mean([np.sum(synthesize(None, 24, s, rate).data.flags & codes.PACKET_END) for s in range(4)])
        assert packets / 86_400 == pytest.approx(rate, rel=0.2)


def test_price_stays_near_home(played):
    assert played.mid.min() > 5_000_000 and played.mid.max() < 7_000_000


def test_returns_are_heavy_tailed(played):
    returns = minute_returns(played)
    assert np.mean((returns - returns.mean()) ** 4) / returns.var() ** 2 > 4


def test_volatility_clusters(played):
    size = np.abs(minute_returns(played))
    for lag in (1, 5):
        assert np.corrcoef(size[:-lag], size[lag:])[0, 1] > 0.08


def test_returns_reverse_over_minutes(played):
    mid = np.log(played.mid_at(np.arange(played.ts[0], played.ts[-1], SECOND)))
    short = np.var(np.diff(mid[::10])) / 10
    long = np.var(np.diff(mid[::600])) / 600
    assert long < 0.9 * short, "variance ratio under one: part of every move comes back"


def test_makers_at_the_touch_are_selected_against(tape, played):
    data = tape.data
    prints = np.flatnonzero((data.kind == codes.TRADE_BUY) | (data.kind == codes.TRADE_SELL))
    sign = np.where(data.kind[prints] == codes.TRADE_BUY, -1, 1)  # the maker's side
    for seconds in (10, 60):
        gain = sign * (played.mid_at(data.ts[prints] + seconds * SECOND) - data.price[prints])
        assert np.average(gain, weights=data.qty[prints]) < 0


def test_trade_sizes_are_heavy_tailed(tape):
    data = tape.data
    size = data.qty[(data.kind == codes.TRADE_BUY) | (data.kind == codes.TRADE_SELL)]
    assert np.quantile(size, 0.999) > 30 * np.median(size)


def test_spread_depends_on_the_regime(tape, played):
    starts = np.array([start for start, _ in tape.meta["notes"]["regimes"]])
    names = np.array([name for _, name in tape.meta["notes"]["regimes"]])
    at = names[np.searchsorted(starts, played.ts, "right") - 1]
    assert set(names) == set(REGIME_NAMES)
    medians = {name: float(np.median(played.spread[at == name])) for name in REGIME_NAMES}
    assert medians["calm"] < medians["trending"] < medians["volatile"]
    assert medians["illiquid"] > 1.5 * medians["calm"]


def test_prices_survive_the_way_over_binance_messages():
    instrument = synthetic_instrument()
    stream = BinanceStream(instrument)
    data = next(iter(Generator(hours=0.1, seed=1)))
    levels = [[instrument.price_text(int(p)), instrument.qty_text(int(q))] for p, q in zip(data.price, data.qty)]  # noqa: B905
    bids = [level for level, kind in zip(levels, data.kind, strict=True) if kind == codes.BID]
    asks = [level for level, kind in zip(levels, data.kind, strict=True) if kind == codes.ASK]
    stream.on_snapshot(1, bids, asks, int(data.ts[0]), 0)
    decoded = stream.take()
    assert decoded.price.tolist() == data.price.tolist() and decoded.qty.tolist() == data.qty.tolist()


@pytest.mark.parametrize(
    "arguments", [{"hours": 0}, {"hours": -1}, {"rate": 0}, {"rate": float("nan")}, {"start_ns": 1}]
)
def test_bad_parameters_are_refused(arguments):
    with pytest.raises(UsageError):
        synthesize(None, **arguments)
