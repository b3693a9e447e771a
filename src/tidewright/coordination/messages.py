"""The one schema agents speak: ``timestamp, source_agent, target_agent, message_type, data`` and a schema version.

Valid in form is asked here; fresh and authorised is another question, for :mod:`tidewright.coordination.admission`.
"""

import json
import math
import re
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Any, Final, Literal, cast

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from tidewright.coordination.agent_payloads import Command, Heartbeat, Insight, RiskEvent, Vote
from tidewright.coordination.payloads import Decision, Name, OptimizeRequest, ParameterUpdate, Status
from tidewright.market.clock import SECOND, iso
from tidewright.market.errors import DataError

SCHEMA_VERSION: Final = 1
MAX_BYTES: Final = 1_048_576  # a message, not a data transfer

_TIMESTAMP: Final = re.compile(r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?(Z|[+-]\d{2}:\d{2})", re.ASCII)


def parse_timestamp(text: str) -> int:
    """Nanoseconds since 1970 of an ISO 8601 time with its offset: ``2026-01-05T22:54:47.210Z``.

    Raises
    ------
    DataError
        If it is not such a time; one without an offset is ambiguous and refused.
    """
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        raise DataError(f"timestamp must be ISO 8601 with Z or an offset, was {text!r}")
    seconds, fraction, offset = match.groups()
    try:
        moment = datetime.fromisoformat(seconds + ("+00:00" if offset == "Z" else offset))
    except ValueError as error:
        raise DataError(f"timestamp must be a time that exists ({error}), was {text!r}") from None
    whole = moment - datetime.fromisoformat("1970-01-01T00:00:00+00:00")
    return (whole.days * 86_400 + whole.seconds) * SECOND + int((fraction or "0").ljust(9, "0"))


class Envelope(BaseModel):
    """What every message has.

    Attributes
    ----------
    timestamp
        Market time, ISO 8601 with Z or an offset.
    source_agent, target_agent
        Who sent it and to whom; names are free.
    schema_version
        Absent: 1.
    """

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    timestamp: str
    source_agent: Name
    target_agent: Name
    schema_version: Literal[1] = 1

    @field_validator("timestamp")
    @classmethod
    def _is_a_time(cls, text: str) -> str:
        parse_timestamp(text)
        return text

    @property
    def timestamp_ns(self) -> int:
        """Market time the message was made at, nanoseconds."""
        return parse_timestamp(self.timestamp)


class ParameterUpdateMessage(Envelope):
    """An advisor proposes parameters."""

    message_type: Literal["parameter_update"] = "parameter_update"
    data: ParameterUpdate


class OptimizeRequestMessage(Envelope):
    """A session asks an optimizer for parameters."""

    message_type: Literal["optimize_request"] = "optimize_request"
    data: OptimizeRequest


class DecisionMessage(Envelope):
    """An executor accepts or refuses a proposal."""

    message_type: Literal["decision"] = "decision"
    data: Decision


class StatusMessage(Envelope):
    """An agent says how it stands."""

    message_type: Literal["status"] = "status"
    data: Status


class InsightMessage(Envelope):
    """An agent shares a forecast."""

    message_type: Literal["insight"] = "insight"
    data: Insight


class VoteMessage(Envelope):
    """An agent votes."""

    message_type: Literal["vote"] = "vote"
    data: Vote


class HeartbeatMessage(Envelope):
    """An agent is alive."""

    message_type: Literal["heartbeat"] = "heartbeat"
    data: Heartbeat


class RiskEventMessage(Envelope):
    """A limit fired, tightened or was lifted."""

    message_type: Literal["risk_event"] = "risk_event"
    data: RiskEvent


class CommandMessage(Envelope):
    """An operator wants something done."""

    message_type: Literal["command"] = "command"
    data: Command


Message = (
    ParameterUpdateMessage
    | OptimizeRequestMessage
    | DecisionMessage
    | StatusMessage
    | InsightMessage
    | VoteMessage
    | HeartbeatMessage
    | RiskEventMessage
    | CommandMessage
)
MESSAGE_TYPES: Final = (
    "parameter_update", "optimize_request", "decision", "status",
    "insight", "vote", "heartbeat", "risk_event", "command",
)  # fmt: skip
_ADAPTER: Final[TypeAdapter[Message]] = TypeAdapter(Annotated[Message, Field(discriminator="message_type")])


def validate(raw: str | bytes) -> Message:
    """Message of a JSON text.

    Raises
    ------
    DataError
        If the text is not JSON, or breaks the schema: every fault is named with its field, rule and value.
    """
    return from_object(_parse(raw))


def from_object(value: object) -> Message:
    """Message of plain JSON values.

    Raises
    ------
    DataError
        If they break the schema.
    """
    if not isinstance(value, dict):
        raise DataError(f"a message must be a JSON object, was {_show(value)}")
    kind = value.get("message_type")
    if kind not in MESSAGE_TYPES:
        if "message_type" not in value:
            raise DataError("message_type is required, but missing")
        raise DataError(f"message_type must be one of {', '.join(MESSAGE_TYPES)}, was {_show(kind)}")
    fault = _not_finite(value, "")
    if fault:
        raise DataError(fault)
    try:
        return _ADAPTER.validate_python(value)
    except ValidationError as error:
        raise DataError("; ".join(_faults(error, cast(str, kind)))) from None


def to_object(item: Message) -> dict[str, Any]:
    """Plain JSON values of a message; what was not given is left out."""
    value = item.model_dump(mode="json", exclude_unset=True)
    return {"timestamp": value.pop("timestamp"), **_head(item), **value}


def encode(item: Message) -> bytes:
    """One line of JSON without its line end.

    The line is validated again, so that nothing built or changed in memory leaves without the check a receiver makes.

    Raises
    ------
    DataError
        If the message breaks the schema.
    """
    try:
        value = to_object(item)
        line = orjson.dumps(value)
    except (TypeError, ValueError) as error:
        raise DataError(f"a message must hold JSON values only: {error}") from None
    from_object(value)
    if len(line) > MAX_BYTES:
        raise DataError(f"a message must have at most {MAX_BYTES} bytes, had {len(line)}")
    return line


def message(kind: str, at_ns: int, source: str, target: str, data: dict[str, Any]) -> Message:
    """A new message.

    Parameters
    ----------
    kind
        One of ``MESSAGE_TYPES``.
    at_ns
        Market time, nanoseconds.

    Raises
    ------
    DataError
        If the data breaks the schema.
    """
    head = {"timestamp": iso(at_ns), "source_agent": source, "target_agent": target, "message_type": kind}
    return from_object({**head, "data": data})


def identity(item: Message) -> str:
    """What makes a message the same message again: its own id if it has one, else a hash of its content."""
    for name in ("proposal_id", "request_id", "insight_id", "command_id"):
        own = getattr(item.data, name, None)
        if own:
            return f"{item.message_type}:{own}"
    return f"{item.message_type}:{sha256(orjson.dumps(to_object(item), option=orjson.OPT_SORT_KEYS)).hexdigest()}"


def json_schema() -> dict[str, Any]:
    """The schema as JSON Schema (draft 2020-12)."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_ADAPTER.json_schema()}


def _head(item: Message) -> dict[str, Any]:
    head: dict[str, Any] = {"source_agent": item.source_agent, "target_agent": item.target_agent}
    return {**head, "message_type": item.message_type}


def _parse(raw: str | bytes) -> object:
    if len(raw) > MAX_BYTES:
        raise DataError(f"a message must have at most {MAX_BYTES} bytes, had {len(raw)}")
    try:
        text = raw if isinstance(raw, str) else raw.decode()
        value = json.loads(text, object_pairs_hook=_unique)  # takes NaN, so that the fault can name the field
        fault = _not_finite(value, "")
        if fault:
            raise DataError(fault)
        orjson.loads(text)  # what the standard parser lets through: lone surrogates, numbers too large for a double
    except DataError:
        raise
    except UnicodeDecodeError:
        raise DataError("a message must be UTF-8") from None
    except RecursionError:
        raise DataError("a message must not be nested that deeply") from None
    except ValueError as error:
        raise DataError(f"a message must be JSON: {error}") from None
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise DataError(f"field {name} must be given once, was given again")
            seen.add(name)
    return unique


def _not_finite(value: object, path: str) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return f"{path} must be finite, was {value}"
    parts: list[tuple[str, object]] = []
    if isinstance(value, dict):
        parts = [(f"{path}.{name}" if path else str(name), part) for name, part in value.items()]
    elif isinstance(value, list):
        parts = [(f"{path}[{index}]", part) for index, part in enumerate(value)]
    for inner, part in parts:
        fault = _not_finite(part, inner)
        if fault:
            return fault
    return ""


_RULES: Final = {
    "missing": "is required, but missing",
    "extra_forbidden": "is not a field of this message",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "list_type": "must be a list",
    "finite_number": "must be finite",
}


def _faults(error: ValidationError, kind: str) -> list[str]:
    found: dict[str, str] = {}
    for item in error.errors(include_url=False):
        path = [str(part) for part in item["loc"]]
        path = path[1:] if path[:1] == [kind] else path
        rule = _RULES.get(item["type"], "")
        if path and path[-1] in ("int", "float") and item["type"] in ("int_type", "float_type"):
            path, rule = path[:-1], "must be a number"  # both branches of a number that may be whole or not
        where = ".".join(path) or "message"
        if item["type"] == "value_error":
            text = str(item["ctx"]["error"])
            found.setdefault(where, text if path and text.startswith(path[-1]) else f"{where}: {text}")
            continue
        if not rule:
            rule = item["msg"].replace("Input should be", "must be").replace("String should", "must")
        text = f"{where} {rule}"
        found.setdefault(where, text if item["type"] == "missing" else f"{text}, was {_show(item['input'])}")
    return list(found.values())


def _show(value: object) -> str:
    try:
        text = json.dumps(value)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
