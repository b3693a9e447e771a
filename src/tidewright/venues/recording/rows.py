"""Collecting the rows of one instrument, packet by packet, until they are written."""

from collections import deque
from collections.abc import Sequence
from typing import Final

from tidewright.market.codes import PACKET_END
from tidewright.market.tape import Columns, of_packets

_REMEMBERED: Final = 200  # packets whose way is kept


class PacketBuffer:
    """Rows in order of receipt whose venue time never falls.

    Attributes
    ----------
    last_ts
        Venue time of the newest packet, nanoseconds; 0 before the first.
    clamped
        Packets whose venue time lay before that of a packet received earlier: they were given the later time.
    """

    def __init__(self) -> None:
        self.last_ts = self.clamped = 0
        self._delays: deque[int] = deque(maxlen=_REMEMBERED)
        self._clear()

    def _clear(self) -> None:
        self._kind, self._flags = bytearray(), bytearray()
        self._price: list[int] = []
        self._qty: list[int] = []
        self._packets: list[tuple[int, int, int]] = []  # ts, ts_local, rows

    def add(
        self,
        ts_ns: int,
        ts_local_ns: int,
        kinds: Sequence[int],
        prices: Sequence[int],
        quantities: Sequence[int],
        flags: Sequence[int] | None = None,
    ) -> None:
        """Add one packet, at least one row.

        Parameters
        ----------
        ts_ns, ts_local_ns
            Venue time and receipt, nanoseconds.
        kinds
            Row kinds of :mod:`tidewright.market.codes`.
        prices, quantities
            Integer ticks and lots, as long as ``kinds``.
        flags
            Of each row, none by default; the packet's end is added here.
        """
        self._delays.append(ts_local_ns - ts_ns)
        if ts_ns < self.last_ts:
            self.clamped += 1
            ts_ns = self.last_ts
        self.last_ts = ts_ns
        self._kind += bytes(kinds)
        self._flags += bytes(len(kinds)) if flags is None else bytes(flags)
        self._flags[-1] |= PACKET_END
        self._price += prices
        self._qty += quantities
        self._packets.append((ts_ns, ts_local_ns, len(kinds)))

    def venue_time(self, ts_local_ns: int) -> int:
        """The venue's time at a receipt, for a message that carries none, nanoseconds.

        The receipt less the shortest way of the last packets, which holds for any offset of this machine's clock;
        never before the newest packet. Before the first packet: the receipt.
        """
        return max(self.last_ts, ts_local_ns - min(self._delays, default=0))

    def take(self) -> Columns:
        """Rows since the last call, whole packets, in order."""
        data = of_packets(self._packets, self._kind, self._flags, self._price, self._qty)
        self._clear()
        return data
