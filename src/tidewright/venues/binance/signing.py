"""Binance request signing with HMAC-SHA256, both ends, without I/O.

REST: the payload is the query string and the body joined without a separator, exactly as they travel, less the
``signature`` pair. WebSocket API: all parameters but ``signature``, sorted by name, ``name=value`` joined by ``&``, not
percent-encoded. Sources: Binance spot API documentation, "Request Security" of rest-api.md and "SIGNED request example
(HMAC)" of web-socket-api.md.
"""

import hmac
from collections.abc import Mapping
from typing import Final

_PAIR: Final = b"signature="


def sign(secret: str, payload: bytes) -> str:
    """Lower-case hexadecimal HMAC-SHA256 of a payload.

    Parameters
    ----------
    secret
        The API secret as text.
    payload
        The bytes to sign, see :func:`rest_payload` and :func:`ws_payload`.
    """
    return hmac.digest(secret.encode(), payload, "sha256").hex()


def verify(secret: str, payload: bytes, given: str) -> bool:
    """Whether a signature fits; hexadecimal digits of either case are accepted, the comparison takes constant time."""
    return hmac.compare_digest(sign(secret, payload).encode(), given.lower().encode())


def cut_signature(raw: bytes) -> tuple[bytes, str | None]:
    """Cut the ``signature=...`` pair out of raw parameter text, wherever it stands.

    Parameters
    ----------
    raw
        A query string or form body as received.

    Returns
    -------
    tuple[bytes, str | None]
        The text without the pair and without its ``&``, and the signature, ``None`` where there is none. Of several
        pairs the first counts and all are cut.
    """
    if _PAIR not in raw:
        return raw, None
    kept: list[bytes] = []
    found: str | None = None
    for pair in raw.split(b"&"):
        if pair.startswith(_PAIR):
            found = pair[len(_PAIR) :].decode("ascii", "replace") if found is None else found
        else:
            kept.append(pair)
    return b"&".join(kept), found


def rest_payload(query: bytes, body: bytes) -> tuple[bytes, str | None]:
    """What a REST signature covers, and the signature: the query's if both halves hold one.

    Parameters
    ----------
    query, body
        Raw query string (without ``?``) and raw form body.
    """
    query, first = cut_signature(query)
    body, second = cut_signature(body)
    return query + body, second if first is None else first


def ws_payload(params: Mapping[str, str]) -> bytes:
    """What a WebSocket API signature covers, from parameters turned back to the text their sender wrote."""
    return "&".join(f"{name}={params[name]}" for name in sorted(params) if name != "signature").encode()
