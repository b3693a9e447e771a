"""What a venue has to offer so that its market can be recorded."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from tidewright.market.clock import Clock
from tidewright.market.instrument import Instrument
from tidewright.market.tape import Columns
from tidewright.venues.recording.connection import MarketSocket
from tidewright.venues.recording.limits import Limits
from tidewright.venues.recording.rest import PublicRest


class RecordedStream(Protocol):
    """The decoder of one instrument's messages."""

    @property
    def needs_snapshot(self) -> bool:
        """Whether there is no book: at the start and after a gap."""
        ...

    @property
    def last_trade_id(self) -> int:
        """Id of the newest trade; 0 before the first."""
        ...

    def take(self, *, final: bool) -> Columns:
        """Whole packets since the last call; ``final``: also what was held back for a better venue time."""
        ...

    def counters(self) -> dict[str, int]:
        """What was counted since the start, by the name of a tape's note."""
        ...


class VenueSocket(MarketSocket, Protocol):
    """A socket and the decoders of the instruments on it."""

    @property
    def streams(self) -> Mapping[str, RecordedStream]:
        """Decoder by symbol."""
        ...

    async def heal(self, rest: PublicRest) -> None:
        """Runs beside the socket: fetch what the stream itself does not bring. May return at once."""
        ...


class RecordedVenue(Protocol):
    """Public market data of one venue."""

    @property
    def name(self) -> str:
        """Name on tapes, lower case."""
        ...

    @property
    def detail(self) -> str:
        """What its tapes hold, for ``meta.json``."""
        ...

    @property
    def limits(self) -> Limits:
        """Manners towards the venue."""
        ...

    @property
    def rest_url(self) -> str:
        """Root of the REST interface in use."""
        ...

    @property
    def ws_url(self) -> str:
        """The WebSocket endpoint in use."""
        ...

    def symbol(self, text: str) -> str:
        """A symbol as the venue writes it, from common spellings (``btc-usd``, ``BTC/USD``)."""
        ...

    async def instrument(self, rest: PublicRest, symbol: str, tick: str | None, lot: str | None) -> Instrument:
        """What the venue says about an instrument; its steps replaced by ``tick`` and ``lot`` where they are given.

        With both given the venue is not asked.

        Raises
        ------
        NotFoundError
            If the venue does not have it.
        VenueError, TimedOutError, DataError
            If the venue refused, did not answer, or its answer is malformed.
        """
        ...

    def socket(self, instruments: Sequence[Instrument], last_trades: Mapping[str, int], clock: Clock) -> VenueSocket:
        """Decoders for a new socket.

        Parameters
        ----------
        last_trades
            By symbol, the newest trade that an earlier run recorded: trades up to it are dropped.
        """
        ...
