"""Signatures against the vectors that Binance publishes (its documentation names key and secret)."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewright.venues.binance.signing import cut_signature, rest_payload, sign, verify, ws_payload

KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
QUERY = (
    b"symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559"
)
SIGNATURE = "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"
ORDER = {
    "symbol": "BTCUSDT",
    "side": "SELL",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "quantity": "0.01000000",
    "price": "52000.00",
    "recvWindow": "100",
    "timestamp": "1645423376532",
    "apiKey": KEY,
}
NON_ASCII = {
    "symbol": "１２３４５６",
    "side": "BUY",
    "price": "0.10000000",
    "quantity": "1.00000000",
    "recvWindow": "5000",
}


def test_rest_vector_in_the_query_and_in_the_body() -> None:
    signed = QUERY + b"&signature=" + SIGNATURE.encode()
    for query, body in ((signed, b""), (b"", signed), (QUERY, b"signature=" + SIGNATURE.encode())):
        payload, given_signature = rest_payload(query, body)
        assert payload == QUERY
        assert given_signature is not None and verify(SECRET, payload, given_signature)
    assert sign(SECRET, QUERY) == SIGNATURE


def test_rest_vector_of_a_mixed_request_has_no_separator_between_query_and_body() -> None:
    query, body = QUERY.split(b"&quantity")
    expected = "0fd168b8ddb4876a0358a8d14d0c9f3da0e9b20c5d52b2a00fcf7d1c602f9a77"
    payload, found = rest_payload(query, b"quantity" + body + b"&signature=" + expected.encode())
    assert b"GTCquantity" in payload
    assert found == expected
    assert verify(SECRET, payload, expected)


def test_rest_vector_with_a_percent_encoded_symbol() -> None:
    payload = QUERY.replace(b"LTCBTC", quote("１２３４５６").encode())
    assert sign(SECRET, payload) == "e1353ec6b14d888f1164ae9af8228a3dbd508bc82eb867db8ab6046442f33ef3"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "aa1b5712c094bc4e57c05a1a5c1fd8d88dcd628338ea863fec7b88e59fe2db24"),
        (NON_ASCII, "b33892ae8e687c939f4468c6268ddd4c40ac1af18ad19a064864c47bae0752cd"),
    ],
)
def test_websocket_api_vectors(changes: dict[str, str], expected: str) -> None:
    assert verify(SECRET, ws_payload({**ORDER, **changes, "signature": expected}), expected)


def test_websocket_api_logon_vector() -> None:
    payload = ws_payload({"timestamp": "1649729878532", "apiKey": KEY})
    assert sign(SECRET, payload) == "1cf54395b336b0a9727ef27d5d98987962bc47aca6e13fe978612d0adee066ed"


def test_upper_case_signatures_are_accepted_and_wrong_ones_are_not() -> None:
    assert verify(SECRET, QUERY, SIGNATURE.upper())
    assert not verify(SECRET, QUERY + b"0", SIGNATURE)
    assert not verify("other", QUERY, SIGNATURE)
    assert not verify(SECRET, QUERY, "")
    assert not verify(SECRET, QUERY, "ü")


names = st.text("abcdefgh", min_size=1, max_size=4)


@given(st.lists(st.tuples(names, names), max_size=5), st.integers(0, 5))
def test_the_signature_is_cut_out_wherever_it_stands(pairs: list[tuple[str, str]], position: int) -> None:
    parts = [f"{name}={value}".encode() for name, value in pairs]
    position = min(position, len(parts))
    raw = b"&".join([*parts[:position], b"signature=abc", *parts[position:]])
    assert cut_signature(raw) == (b"&".join(parts), "abc")
