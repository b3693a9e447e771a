"""The schema of messages: what is valid, what is refused and in which words."""

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewright.coordination import messages
from tidewright.coordination.messages import encode, identity, message, parse_timestamp, validate
from tidewright.market.clock import iso
from tidewright.market.errors import DataError

REFERENCE = Path(__file__).parents[3] / "shared" / "reference" / "message_sample.json"

PROPOSAL: dict[str, Any] = {
    "timestamp": "2025-06-01T08:00:00.250Z",
    "source_agent": "optimizer-1",
    "target_agent": "executor",
    "message_type": "parameter_update",
    "data": {
        "optimized_params": {"spread_percentage": 0.4, "levels": 2, "base_quantity": 0.02, "max_position": 0.1},
        "performance_metrics": {"sqn_score": 1.1, "sharpe_ratio": -0.3, "max_drawdown": 0.02},
        "confidence_score": 0.61,
    },
}
REQUEST: dict[str, Any] = {
    "tape": "session/tape",
    "rows": 1000,
    "from_ns": 1,
    "until_ns": 2,
    "strategy": "grid",
    "incumbent": {"spread_percentage": 0.4, "levels": 2, "base_quantity": 0.02, "max_position": 0.1},
    "limits": {"max_position_share": 0.2, "stop_loss": None},
    "latency": {"entry_ns": 5, "response_ns": 5},
    "fees": {"maker": 100_000, "taker": 100_000},
    "equity": "10000.5",
    "position": "-0.02",
}


def changed(path: str, value: Any) -> str:
    item = copy.deepcopy(PROPOSAL)
    *folders, last = path.split(".")
    part = item
    for folder in folders:
        part = part[folder]
    part[last] = value
    return json.dumps(item)


def removed(path: str) -> str:
    item = json.loads(changed(path, None))
    *folders, last = path.split(".")
    part = item
    for folder in folders:
        part = part[folder]
    del part[last]
    return json.dumps(item)


def test_a_proposal_is_valid_and_comes_back_unchanged() -> None:
    item = validate(json.dumps(PROPOSAL))
    assert isinstance(item, messages.ParameterUpdateMessage)
    assert item.data.optimized_params.values()["levels"] == 2.0
    assert item.schema_version == 1
    assert json.loads(encode(item)) == PROPOSAL


@pytest.mark.skipif(not REFERENCE.is_file(), reason="the reference message is not here")
def test_the_reference_message_validates_as_it_stands() -> None:
    raw = REFERENCE.read_bytes()
    assert json.loads(encode(validate(raw))) == json.loads(raw)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (removed("timestamp"), "timestamp is required"),
        (removed("data"), "data is required"),
        (removed("message_type"), "message_type is required"),
        (removed("data.confidence_score"), "data.confidence_score is required"),
        (removed("data.performance_metrics.sqn_score"), "data.performance_metrics.sqn_score is required"),
        (removed("data.optimized_params.levels"), "missing: levels"),
        (changed("data.confidence_score", 1.01), "confidence_score must be less than or equal to 1, was 1.01"),
        (changed("data.confidence_score", -0.1), "confidence_score must be greater than or equal to 0, was -0.1"),
        (changed("data.confidence_score", "0.5"), 'confidence_score must be a number, was "0.5"'),
        (changed("data.confidence_score", True), "confidence_score must be a number, was true"),
        (changed("data.confidence_score", math.nan), "data.confidence_score must be finite, was nan"),
        (changed("data.deep", {"a": [0, math.inf]}), "data.deep.a[1] must be finite, was inf"),
        (changed("data.optimized_params.levels", 2.5), "levels must be a whole number, was 2.5"),
        (changed("data.optimized_params.levels", 0), "levels must be greater than or equal to 1, was 0"),
        (changed("data.optimized_params.levels", None), "parameter levels must be a number, was null"),
        (changed("data.optimized_params.gamma", "big"), 'gamma must be a number, was "big"'),
        (changed("data.optimized_params.spread_percentage", -0.1), "spread_percentage must be greater than 0"),
        (changed("data.performance_metrics.max_drawdown", 5), "max_drawdown must be less than or equal to 1, was 5"),
        (changed("surprise", 1), "surprise is not a field of this message, was 1"),
        (changed("schema_version", 2), "schema_version must be 1, was 2"),
        (changed("message_type", "buy"), "message_type must be one of parameter_update, optimize_request"),
        (changed("source_agent", ""), "source_agent must"),
        (changed("timestamp", 5), "timestamp must be text, was 5"),
        (changed("timestamp", "2025-06-01 08:00"), "ISO 8601"),
        (changed("timestamp", "2025-06-01T08:00:00"), "ISO 8601"),
        (changed("timestamp", "2025-02-30T08:00:00Z"), "a time that exists"),
        (json.dumps(PROPOSAL)[:-1], "must be JSON"),
        ('{"timestamp":"a","timestamp":"b"}', "field timestamp must be given once"),
        ("[]", "a message must be a JSON object, was []"),
        ("[" * 100_000, "nested"),
        (b"\xff\xfe", "UTF-8"),
        ('"\\ud800"', "must be JSON"),
        (" " * (messages.MAX_BYTES + 1), "at most 1048576 bytes"),
    ],
)
def test_a_fault_is_refused_with_field_rule_and_value(raw: str | bytes, words: str) -> None:
    with pytest.raises(DataError) as caught:
        validate(raw)
    assert words in str(caught.value)


def test_all_faults_are_named_at_once() -> None:
    item = json.loads(changed("data.confidence_score", 2))
    item["data"]["optimized_params"]["levels"] = 1.5
    item["extra"] = 1
    with pytest.raises(DataError) as caught:
        validate(json.dumps(item))
    assert all(part in str(caught.value) for part in ("confidence_score", "levels", "extra"))


def test_a_named_strategy_needs_only_the_parameters_it_has() -> None:
    item = json.loads(removed("data.optimized_params.spread_percentage"))
    item["data"]["optimized_params"]["gamma"] = 0.1
    with pytest.raises(DataError):
        validate(json.dumps(item))
    item["data"]["strategy"] = "avellaneda_stoikov"
    assert validate(json.dumps(item)).message_type == "parameter_update"


def test_a_users_own_strategy_is_named_by_any_path_and_needs_none_of_the_four() -> None:
    item = json.loads(changed("data.optimized_params", {"lean": 0.5, "base_quantity": 0.01}))
    item["data"]["strategy"] = "/home/Jörg K./no such folder/maker.py:lean"
    assert validate(json.dumps(item)).message_type == "parameter_update"
    item["data"]["strategy"] = "/tmp/two\nlines.py"
    with pytest.raises(DataError, match="strategy"):
        validate(json.dumps(item))


def test_a_request_is_valid_and_its_rules_hold() -> None:
    item = message("optimize_request", 10**18, "session", "optimizer", REQUEST)
    assert isinstance(item, messages.OptimizeRequestMessage)
    assert item.data.candidates >= 512
    assert json.loads(encode(item))["data"] == REQUEST
    for name, value in (("until_ns", 1), ("equity", 1.5), ("equity", "1e3"), ("candidates", 1), ("limits", {"x": 1})):
        with pytest.raises(DataError, match=name):
            message("optimize_request", 10**18, "session", "optimizer", {**REQUEST, name: value})


def test_a_refusal_needs_a_reason() -> None:
    data = {"in_reply_to": "p-1", "accepted": False, "reasons": []}
    with pytest.raises(DataError, match="reason"):
        message("decision", 0, "executor", "optimizer", data)
    assert message("decision", 0, "executor", "optimizer", {**data, "reasons": ["low confidence"]})


def test_a_message_spoiled_in_memory_is_not_sent() -> None:
    item = validate(json.dumps(PROPOSAL))
    assert isinstance(item, messages.ParameterUpdateMessage)
    item.data.confidence_score = math.nan
    with pytest.raises(DataError, match="finite"):
        encode(item)


def test_identity_is_the_own_id_or_the_content() -> None:
    first, again = validate(json.dumps(PROPOSAL)), validate(json.dumps(PROPOSAL, indent=1))
    assert identity(first) == identity(again)
    assert identity(first) != identity(validate(changed("data.confidence_score", 0.6)))
    assert identity(validate(changed("data.proposal_id", "p-7"))) == "parameter_update:p-7"


def test_the_json_schema_names_every_message_type() -> None:
    text = json.dumps(messages.json_schema())
    assert all(name in text for name in (*messages.MESSAGE_TYPES, "spread_percentage", "confidence_score"))


@given(st.integers(0, 4_000_000_000_000))
def test_timestamps_keep_milliseconds(ms: int) -> None:
    assert parse_timestamp(iso(ms * 1_000_000)) == ms * 1_000_000


def test_offsets_and_nanoseconds_are_read_exactly() -> None:
    assert parse_timestamp("1970-01-01T01:00:00.000000001+01:00") == 1
    assert parse_timestamp("1969-12-31T23:59:59.5Z") == -500_000_000


numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53)
leaves = st.none() | st.booleans() | numbers | st.text(max_size=8)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
proposals = st.fixed_dictionaries(
    {
        "optimized_params": st.fixed_dictionaries(
            {
                "spread_percentage": st.floats(1e-6, 100.0),
                "levels": st.integers(1, 32),
                "base_quantity": st.floats(1e-9, 1e9),
                "max_position": st.floats(0.0, 1e9),
            },
            optional={"gamma": numbers, "note_2": numbers},
        ),
        "performance_metrics": st.fixed_dictionaries(
            {"sqn_score": numbers, "sharpe_ratio": numbers, "max_drawdown": st.floats(0.0, 1.0)},
            optional={"sortino": numbers | st.none()},
        ),
        "confidence_score": st.floats(0.0, 1.0),
    },
    optional={"extra": values, "trials": st.integers(1, 10**9)},
)


@given(proposals)
def test_every_valid_proposal_makes_the_round_trip(data: dict[str, Any]) -> None:
    item = validate(json.dumps({**PROPOSAL, "data": data}))
    assert json.loads(encode(item)) == {**PROPOSAL, "data": data}
    assert validate(encode(item)) == item


@given(values | st.binary(max_size=64).map(lambda raw: raw.decode("latin-1")))
def test_anything_else_is_refused_with_a_clear_error_and_nothing_worse(value: Any) -> None:
    for raw in (json.dumps(value), str(value), json.dumps({**PROPOSAL, "data": value})):
        with pytest.raises(DataError):
            validate(raw)


AGENT_MESSAGES: dict[str, dict[str, Any]] = {
    "insight": {"subject": "return", "value": -0.1, "horizon_ns": 30, "confidence_score": 0.6, "uncertainty": 0.2},
    "vote": {"question": "q", "round": 0, "stance": -2, "params": {"levels": 3}, "confidence_score": 1.0},
    "heartbeat": {"beat": 4, "role": "master", "token": 9},
    "risk_event": {"event": "breach", "rule": "daily_loss", "value": 0.06, "limit": 0.05, "cause": "equity fell"},
    "command": {"command": "set_parameters", "command_id": "c", "params": {"levels": 2}},
}


@pytest.mark.parametrize("kind", AGENT_MESSAGES)
def test_the_messages_of_agents_go_there_and_back_and_are_in_the_schema(kind: str) -> None:
    item = message(kind, 0, "a", "b", AGENT_MESSAGES[kind])
    assert validate(encode(item)) == item
    assert kind in json.dumps(messages.json_schema())


@pytest.mark.parametrize(
    ("kind", "field", "value", "words"),
    [
        ("insight", "horizon_ns", 0, "data.horizon_ns must be greater than 0"),
        ("insight", "confidence_score", 1.1, "data.confidence_score must be less than or equal to 1"),
        ("vote", "stance", 3, "data.stance must be -2, -1, 0, 1 or 2"),
        ("vote", "params", {"levels": "3"}, "must be a number"),
        ("heartbeat", "beat", -1, "data.beat must be greater than or equal to 0"),
        ("risk_event", "cause", "", "data.cause"),
        ("command", "command", "buy", "data.command must be"),
        ("command", "params", {}, "params must name at least one parameter"),
    ],
)
def test_a_wrong_message_of_an_agent_is_named_with_rule_and_value(
    kind: str, field: str, value: object, words: str
) -> None:
    with pytest.raises(DataError) as told:
        message(kind, 0, "a", "b", {**AGENT_MESSAGES[kind], field: value})
    assert words in str(told.value)


def test_an_unknown_version_is_refused() -> None:
    with pytest.raises(DataError, match="schema_version must be 1, was 2"):
        validate(json.dumps({**PROPOSAL, "schema_version": 2}))
