"""Import of hftbacktest 2.x data: arrays of 64-byte events in ``.npz`` (key ``data``) or ``.npy`` files.

An event is ``ev`` (what it is, with flags in the upper bits), ``exch_ts`` and ``local_ts`` (ns), ``px``, ``qty``,
``order_id``, ``ival``, ``fval``; the numbers are those of hftbacktest's own documentation. Files of hftbacktest hold
events in the order of the exchange and in the order of the receiver at once: where both cannot be had with one row,
there are two, one for each. A tape is in the order of the exchange: rows that are only for the receiver are left out.

Depth events of one message share both times and become one packet. A clear event empties the whole book of the tape
(hftbacktest clears one side up to a price), for a snapshot follows it. A file that only holds a snapshot without times
is the book before the first event. Without any snapshot the book begins with the first depth events, flagged inferred,
which is what hftbacktest does.
"""

import io
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt

from tidewright.market.clock import MILLISECOND
from tidewright.market.codes import (
    ASK,
    BEST_ASK,
    BEST_BID,
    BID,
    INFERRED,
    PACKET_END,
    RESET,
    SNAPSHOT,
    TRADE_BUY,
    TRADE_SELL,
    TRADE_UNKNOWN,
)
from tidewright.market.errors import DataError, UsageError
from tidewright.market.exchange_info import ExchangeInfo
from tidewright.market.importers.contracts import UNKNOWN, InstrumentMaker, parse_kind, stated_kind
from tidewright.market.importers.csv_table import HIGHEST
from tidewright.market.importers.feeds import Batch, Batches, Feed, insert
from tidewright.market.importers.files import DAMAGED, salvaged
from tidewright.market.importers.report import EARLIEST, LATEST, ImportReport, Progress, existing_files, part_of
from tidewright.market.importers.writing import Recording, write_recording
from tidewright.market.tape import I64

DEPTH, TRADE, CLEAR, DEPTH_SNAPSHOT, BEST = 1, 2, 3, 4, 5
ORDER_EVENTS: Final = (10, 11, 12, 13)  # added, cancelled, modified, filled: market by order
USERS_OWN: Final = 100  # from here on: a user's own, which hftbacktest passes over, such as index prices and funding
EXCH, LOCAL, BUY, SELL = 1 << 31, 1 << 30, 1 << 29, 1 << 28

EVENT: Final = np.dtype(
    [
        ("ev", "<u8"),
        ("exch_ts", "<i8"),
        ("local_ts", "<i8"),
        ("px", "<f8"),
        ("qty", "<f8"),
        ("order_id", "<u8"),
        ("ival", "<i8"),
        ("fval", "<f8"),
    ]
)

_CHUNK: Final = 250_000  # events at a time: 16 MB
_ARRAY: Final = "data"
_NO_ZIP: Final = "not a zip file"  # as the standard library says it
_PART: Final = 1 << 16  # bytes, in the first of which the head of an array lies
_NOT_HELD: Final = 255
Events = npt.NDArray[np.void]


def import_hftbacktest(
    files: list[str | Path],
    out: str | Path,
    *,
    symbol: str,
    tick_size: str | None = None,
    lot_size: str | None = None,
    venue: str | None = None,
    kind: str | None = None,
    contract_size: str | None = None,
    base_latency_ns: int = MILLISECOND,
    exchange_info: ExchangeInfo | None = None,
    progress: Progress | None = None,
) -> ImportReport:
    """Write a tape from hftbacktest's event files of one asset.

    Parameters
    ----------
    files
        ``.npz`` or ``.npy``; consecutive ones in any order, and a snapshot of the book before them.
    symbol
        Its name: the files do not say.
    tick_size, lot_size
        Decimal texts; else the finest decimal of the prices, and the decimals that 99.9 % of the quantities fit.
    kind, contract_size
        ``spot`` (default), ``linear`` or ``inverse``, and the size of a contract.
    exchange_info
        What Binance states of its instruments: tick, lot, filters, kind and contract size are taken from it.
    base_latency_ns
        Shortest latency assumed where the receiver's clock has to be corrected, ns.

    Raises
    ------
    DataError
        If a file is missing, cut off, of hftbacktest 1.x or another form, or holds market-by-order events.
    UsageError
        If ``out`` exists or a choice does not exist.
    """
    if not symbol:
        raise UsageError("hftbacktest's files do not name their symbol: give one, e.g. BTCUSDT")
    paths = _in_time_order(existing_files(files))
    counts: dict[str, int] = {
        "events_for_the_receiver_only": 0,
        "events_of_users_own_kinds": 0,
        "clears": 0,
        "snapshots_inferred": 0,
    }
    seen: Counter[int] = Counter()
    wanted = parse_kind(kind) or stated_kind(exchange_info, symbol)

    instrument = InstrumentMaker(venue or UNKNOWN, symbol, tick_size, lot_size, wanted, contract_size, exchange_info)
    own: dict[str, str] = {}
    for path, _ in paths:
        for events, row in _events(path):
            codes, first, found = np.unique(_code(events), return_index=True, return_counts=True)
            seen.update(dict(zip(codes.tolist(), found.tolist(), strict=True)))
            for code, at in zip(codes.tolist(), first.tolist(), strict=True):
                if code >= USERS_OWN:
                    own.setdefault(str(code), f"{path.name}, row {row + at}")
    feed = Feed("events", lambda told: _begun(_packets(_batches(paths, counts, told)), counts))
    source = f"hftbacktest: {', '.join(path.name for path, _ in paths)}"
    notes: dict[str, Any] = {"instrument_kind": wanted}
    if own:
        notes["users_own_kinds"] = {
            code: f"{seen[int(code)]} events, the first in {place}" for code, place in sorted(own.items())
        }
    recording = Recording(source, _detail(seen), [feed], instrument, counts, notes)
    return write_recording(recording, out, base_latency_ns=base_latency_ns, progress=progress)


def _detail(seen: Counter[int]) -> str:
    words = {"L2": (DEPTH, DEPTH_SNAPSHOT), "best bid/ask": (BEST,), "trades": (TRADE,)}
    return "+".join(word for word, codes in words.items() if any(seen[code] for code in codes)) or "nothing"


def _code(events: Events) -> npt.NDArray[np.uint64]:
    return events["ev"] & np.uint64(0xFF)


# -- files ------------------------------------------------------------------------------------------------------------


def _events(path: Path, progress: Progress | None = None) -> Iterator[tuple[Events, int]]:
    """Events of a file, part by part, each with the number of its first row (from 1)."""
    size = max(1, path.stat().st_size)
    row = 1
    try:
        with open(path, "rb") as raw:
            if raw.read(4).startswith(b"PK"):
                raw.seek(0)
                with zipfile.ZipFile(raw) as archive, archive.open(_member(path, archive)) as content:
                    parts = _parts(path, content)
                    for events in parts:
                        yield events, row
                        row += len(events)
                        if progress is not None:
                            progress(min(1.0, raw.tell() / size))
            else:
                raw.seek(0)
                for events in _parts(path, raw):
                    yield events, row
                    row += len(events)
                    if progress is not None:
                        progress(min(1.0, raw.tell() / size))
    except DAMAGED as error:
        raise _damage(path, error) from None


def _damage(path: Path, error: Exception) -> DataError:
    """What is said of a file that could not be read to its end: the last whole event before that.

    Data that was cut off is sound up to there; where it was changed is only noticed later.
    """
    with open(path, "rb") as raw:
        packed = raw.read(2) == b"PK"
        raw.seek(0)
        parts = salvaged(path) if packed else iter(lambda: raw.read(_PART), b"")
        head, size = b"", 0
        for part in parts:
            head += part[: max(0, _PART - len(head))]
            size += len(part)
    content, rows = io.BytesIO(head), 0
    try:
        shape, dtype = _form(content)
        rows = min(int(shape[0]), (size - content.tell()) // dtype.itemsize)
    except (ValueError, IndexError):
        pass  # not even its head is whole
    array = f"{path}, array {_ARRAY}" if packed else str(path)
    if isinstance(error, EOFError) or _NO_ZIP in str(error):  # the directory of a zip file stands at its end
        return DataError(f"{array}, after row {rows}: the file is cut off ({error}); write or fetch it again")
    return DataError(f"{array}, in row {rows} or before it: the file is damaged ({error}); write or fetch it again")


def _form(content: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type that the head of an array tells."""
    version = np.lib.format.read_magic(content)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(content)
    return shape, dtype


def _member(path: Path, archive: zipfile.ZipFile) -> str:
    names = archive.namelist()
    if f"{_ARRAY}.npy" not in names:
        raise DataError(f"{path} must hold an array named {_ARRAY}, holds {', '.join(names[:10]) or 'none'}")
    return f"{_ARRAY}.npy"


def _parts(path: Path, content: IO[bytes]) -> Iterator[Events]:
    try:
        shape, dtype = _form(content)
    except ValueError as error:
        raise DataError(f"{path} is no numpy array: {str(error).splitlines()[0]}") from None
    if dtype.names is None and len(shape) == 2:
        raise DataError(f"{path} is of hftbacktest 1.x: convert it with hftbacktest's data.utils.migration2 first")
    if dtype.names != EVENT.names or len(shape) != 1:
        raise DataError(f"{path} must hold events ({', '.join(EVENT.names or ())}), holds {dtype} of shape {shape}")
    left = int(shape[0])
    while left:
        need = min(left, _CHUNK) * dtype.itemsize
        data = content.read(need)
        if len(data) < need:
            raise EOFError(f"{left - len(data) // dtype.itemsize} of {shape[0]} events are missing")
        yield np.frombuffer(data, dtype)
        left -= len(data) // dtype.itemsize


def _in_time_order(paths: list[Path]) -> list[tuple[Path, int]]:
    """Files by their first venue time; a snapshot without times goes before the file it belongs to."""
    first: list[tuple[int, int, Path]] = []
    for i, path in enumerate(paths):
        at = 0
        for events, _ in _events(path):
            timed = events["exch_ts"][(events["exch_ts"] > 0) & (events["ev"] & np.uint64(EXCH) != 0)]
            if len(timed):
                at = int(timed[0])
                break
        first.append((at, i, path))
    first.sort(key=lambda entry: entry[:2])
    times = [at for at, _, _ in first if at]
    if not times:
        raise DataError(f"no event for the exchange in {', '.join(map(str, paths))}: the flag 1 << 31 is on none")
    if sum(at == 0 for at, _, _ in first) > 1:
        raise DataError("several files hold no event with a time: give one snapshot at most")
    return [(path, at or times[0]) for at, _, path in first]


# -- events -----------------------------------------------------------------------------------------------------------


def _batches(paths: list[tuple[Path, int]], counts: dict[str, int], progress: Progress | None) -> Batches:
    for i, (path, first_ts) in enumerate(paths):
        for events, row in _events(path, part_of(progress, i, len(paths))):
            yield _decoded(path, events, row, first_ts, counts)


def _decoded(path: Path, events: Events, row: int, first_ts: int, counts: dict[str, int]) -> Batch:
    """Rows of the tape, packets not yet closed."""
    line = np.arange(row, row + len(events), dtype=np.int64)
    ev = events["ev"]
    exchange = ev & np.uint64(EXCH) != 0
    code = _code(events)
    unknown = (code < USERS_OWN) & ~np.isin(code, (DEPTH, TRADE, CLEAR, DEPTH_SNAPSHOT, BEST, *ORDER_EVENTS))
    if unknown.any():
        at = int(np.argmax(unknown))
        raise DataError(
            f"{path}, row {line[at]}: the kind of event must be 1 to 5 or 10 to 13 (hftbacktest's) or from {USERS_OWN} "
            f"on (a user's own), was {code[at]}"
        )
    by_order = exchange & np.isin(code, ORDER_EVENTS)
    if by_order.any():
        at = int(np.argmax(by_order))
        raise DataError(f"{path}, row {line[at]}: market by order (event {code[at]}) cannot go on a tape of levels")
    kind = _kinds(path, ev, code, line)
    counts["events_for_the_receiver_only"] += int(np.sum(~exchange))
    counts["events_of_users_own_kinds"] += int(np.sum(exchange & (kind == _NOT_HELD)))
    kept = np.flatnonzero(exchange & (kind != _NOT_HELD))
    kind, code, line, events = kind[kept], code[kept], line[kept], events[kept]
    for name in ("exch_ts", "local_ts"):
        bad = (events[name] > 0) & ((events[name] < EARLIEST) | (events[name] >= LATEST))
        if bad.any():
            at = int(np.argmax(bad))
            raise DataError(
                f"{path}, row {line[at]}: {name} must be a time between 2009 and 2100 in ns, was {events[name][at]}"
            )
    price, qty = _values(path, events, kind, line)
    ts = np.where(events["exch_ts"] > 0, events["exch_ts"], first_ts)
    flags = np.where((code == DEPTH_SNAPSHOT) | (code == CLEAR), SNAPSHOT, 0).astype(np.uint8)
    local = np.where(events["local_ts"] > 0, events["local_ts"], 0)
    return Batch(ts, ts, local, kind, flags, price, qty, line, path, "row")


def _kinds(path: Path, ev: Any, code: Any, line: I64) -> npt.NDArray[np.uint8]:
    buy, sell = ev & np.uint64(BUY) != 0, ev & np.uint64(SELL) != 0
    depth = (code == DEPTH) | (code == DEPTH_SNAPSHOT)
    sideless = (depth | (code == BEST)) & (buy == sell)
    if sideless.any():
        raise DataError(f"{path}, row {line[int(np.argmax(sideless))]}: a depth event needs one side, bid or ask")
    return np.select(
        [depth & buy, depth, (code == BEST) & buy, code == BEST, code == CLEAR, code == TRADE],
        [
            np.full(len(code), BID),
            np.full(len(code), ASK),
            np.full(len(code), BEST_BID),
            np.full(len(code), BEST_ASK),
            np.full(len(code), RESET),
            np.select([buy & ~sell, sell & ~buy], [TRADE_BUY, TRADE_SELL], default=TRADE_UNKNOWN),
        ],
        default=_NOT_HELD,
    ).astype(np.uint8)


def _values(path: Path, events: Events, kind: Any, line: I64) -> tuple[Any, Any]:
    price, qty = events["px"].copy(), events["qty"].copy()
    price[kind == RESET] = qty[kind == RESET] = 0.0
    bad = (kind != RESET) & ~((price > 0) & (price < HIGHEST) & (qty >= 0) & (qty < HIGHEST))
    if bad.any():
        at = int(np.argmax(bad))
        raise DataError(
            f"{path}, row {line[at]}: price must be > 0, quantity >= 0 and both under 1e15, was {float(price[at])!r}, "
            f"{float(qty[at])!r}"
        )
    return price, qty


def _packets(batches: Batches) -> Batches:
    """Close packets: trades alone, depth rows of the same two times together; one reset for both sides' clears."""
    tail: Batch | None = None
    for batch in batches:
        if not len(batch):
            continue
        if tail is not None:
            if tail.path != batch.path:
                yield _closed(tail)
            else:
                batch = tail.with_arrays([np.concatenate(p) for p in zip(tail.arrays(), batch.arrays(), strict=True)])
        same = _together(batch)
        cut = int(np.flatnonzero(~same)[-1]) + 1 if not same.all() else 0
        tail = batch.pick(slice(cut, None))
        if cut:
            yield _closed(batch.pick(slice(0, cut)))
    if tail is not None:
        yield _closed(tail)


def _together(batch: Batch) -> npt.NDArray[np.bool_]:
    """Whether each row but the last is of one packet with the next."""
    trade = (batch.kind >= TRADE_BUY) & (batch.kind <= TRADE_UNKNOWN)
    return (
        (np.diff(batch.ts) == 0)
        & (np.diff(batch.ts_local) == 0)
        & ~(trade[1:] | trade[:-1])
        & (np.diff(batch.flags & SNAPSHOT) == 0)
    )


def _closed(batch: Batch) -> Batch:
    ends = np.append(~_together(batch), True)
    flags = np.where(ends, batch.flags | PACKET_END, batch.flags).astype(np.uint8)
    reset = batch.kind == RESET
    flags[reset] &= np.uint8(~SNAPSHOT & 0xFF)  # the reset itself is no member of the snapshot
    packet = np.concatenate(([0], np.cumsum(ends[:-1])))
    again = np.zeros(len(batch), np.bool_)  # the second clear of a packet would empty what the snapshot just set
    where = np.flatnonzero(reset)
    again[where[1:][np.diff(packet[where]) == 0]] = True
    last = again & (flags & PACKET_END != 0)
    if last.any():
        flags[np.flatnonzero(last) - 1] |= PACKET_END
    closed = batch.with_arrays([*batch.arrays()[:4], flags, *batch.arrays()[5:]])
    return closed.pick(np.flatnonzero(~again)) if again.any() else closed


def _begun(batches: Batches, counts: dict[str, int]) -> Batches:
    """Put a reset before a snapshot at the start, or take the first depth packet for one."""
    begun = False
    for batch in batches:
        resets = batch.kind == RESET
        counts["clears"] += int(resets.sum())
        levels = np.flatnonzero((batch.kind <= ASK) | (batch.kind == BEST_BID) | (batch.kind == BEST_ASK) | resets)
        if not begun and len(levels):
            begun, at = True, int(levels[0])
            if batch.kind[at] != RESET:
                batch = _first_book(batch, at, counts)
        yield batch


def _first_book(batch: Batch, at: int, counts: dict[str, int]) -> Batch:
    if not batch.flags[at] & SNAPSHOT:
        counts["snapshots_inferred"] += 1
        end = at + int(np.argmax(batch.flags[at:] & PACKET_END != 0)) + 1
        flags = batch.flags.copy()
        flags[at:end] |= SNAPSHOT | INFERRED
        batch = batch.with_arrays([*batch.arrays()[:4], flags, *batch.arrays()[5:]])
    return insert(batch, np.array([at]), RESET, 0)
