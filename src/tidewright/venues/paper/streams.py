"""Market stream connections without sockets: their subscriptions, and one block of frames for all that are alike."""

import json
from typing import Any, Final
from urllib.parse import unquote

import orjson

from tidewright.venues.paper import topics
from tidewright.venues.paper.frames import text_frame
from tidewright.venues.paper.market_publisher import Messages, Wanted
from tidewright.venues.paper.protocol import MILLISECONDS, Number, TimeUnit, echo_id

MAX_STREAMS: Final = 1_024


class StreamSession:
    """Subscriptions of one connection.

    Parameters
    ----------
    symbol
        The symbol traded here.
    combined
        Whether events are wrapped with their stream's name.
    unit
        Of times in events.

    Attributes
    ----------
    names
        Names the client used, in order of subscription, by topic. Names of streams that never send are kept apart.
    """

    def __init__(self, symbol: str, combined: bool, unit: TimeUnit = MILLISECONDS) -> None:
        self._symbol = symbol
        self.combined = combined
        self.unit = unit
        self.names: dict[str, list[str]] = {}
        self._silent: list[str] = []

    @property
    def alike(self) -> tuple[Any, ...]:
        """Connections for which this is equal get the same bytes."""
        return (self.unit.divisor, self.combined, *((topic, *names) for topic, names in sorted(self.names.items())))

    def subscriptions(self) -> list[str]:
        """All names."""
        return [name for names in self.names.values() for name in names] + self._silent

    def add(self, name: str) -> None:
        """Subscribe; a well-formed name of what is not here stays silent, as at Binance."""
        topic = topics.topic_of(name, self._symbol)
        known = self._silent if topic is None else self.names.setdefault(topic, [])
        if name not in known:
            known.append(name)

    def remove(self, name: str) -> None:
        """Unsubscribe."""
        topic = topics.topic_of(name, self._symbol)
        known = self._silent if topic is None else self.names.get(topic, [])
        if name in known:
            known.remove(name)
        if topic is not None and not known:
            self.names.pop(topic, None)

    def control(self, raw: str) -> bytes:
        """Answer a control message: SUBSCRIBE, UNSUBSCRIBE, LIST_SUBSCRIPTIONS, SET_PROPERTY, GET_PROPERTY."""
        try:
            message = json.loads(raw, parse_int=Number, parse_float=Number)
        except ValueError:
            return _error(3, "Invalid JSON: expected value at line 1 column 1", None)
        if not isinstance(message, dict):
            return _error(2, "Invalid request: expected an object", None)
        number, params = echo_id(message.get("id")), message.get("params", [])
        method = message.get("method")
        if method == "LIST_SUBSCRIPTIONS":
            return orjson.dumps({"result": self.subscriptions(), "id": number})
        if method in ("SUBSCRIBE", "UNSUBSCRIBE"):
            return self._change(method == "SUBSCRIBE", params, number)
        if method in ("SET_PROPERTY", "GET_PROPERTY"):
            return self._property(method == "SET_PROPERTY", params, number)
        return _error(2, f"Invalid request: unknown variant `{method}`", number)

    def _change(self, subscribe: bool, names: Any, number: Any) -> bytes:
        if not isinstance(names, list) or not all(isinstance(n, str) and topics.is_well_formed(n) for n in names):
            return _error(2, "Invalid request: invalid stream", number)
        if subscribe and len(set(self.subscriptions()).union(names)) > MAX_STREAMS:
            return _error(2, f"Invalid request: more than {MAX_STREAMS} streams", number)
        for name in names:
            (self.add if subscribe else self.remove)(name)
        return orjson.dumps({"result": None, "id": number})

    def _property(self, change: bool, params: Any, number: Any) -> bytes:
        if not isinstance(params, list) or not params or params[0] != "combined":
            return _error(0, "Unknown property", number)
        if not change:
            return orjson.dumps({"result": self.combined, "id": number})
        if len(params) != 2 or not isinstance(params[1], bool):
            return _error(1, "Invalid value type: expected Boolean", number)
        self.combined = params[1]
        return orjson.dumps({"result": None, "id": number})

    def frames(self, messages: Messages) -> bytes:
        """All frames of this connection's streams, in order."""
        names, parts = self.names, []
        for topic, payload in messages.get(self.unit.divisor, ()):
            for name in names.get(topic, ()):
                wrapped = b'{"stream":"%b","data":%b}' % (name.encode(), payload) if self.combined else payload
                parts.append(text_frame(wrapped))
        return b"".join(parts)


def _error(code: int, text: str, number: Any) -> bytes:
    return orjson.dumps({"error": {"code": code, "msg": text}, "id": number})


def names_in_path(path: str, streams: str | None) -> list[str]:
    """Stream names that a connection's URL asks for.

    Parameters
    ----------
    path
        ``/ws``, ``/ws/<name>/<name>``, ``/stream`` or ``/stream/<anything>``. What has not the form of a stream name is
        ignored: ccxt numbers its connections there.
    streams
        The ``streams`` parameter of ``/stream``.
    """
    rest = unquote(path).strip("/").split("/")[1:] if path.startswith("/ws") else []
    rest += unquote(streams).split("/") if streams else []
    return [name for name in rest if topics.is_well_formed(name)]


def wanted(sessions: list[StreamSession]) -> Wanted:
    """Topics that anybody is subscribed to, by divisor."""
    found: dict[int, set[str]] = {}
    for session in sessions:
        if session.names:
            found.setdefault(session.unit.divisor, set()).update(session.names)
    return {divisor: frozenset(kinds) for divisor, kinds in found.items()}
