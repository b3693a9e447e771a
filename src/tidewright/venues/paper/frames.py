"""WebSocket frames of a server (RFC 6455, section 5.2), built by hand.

A server's frames are not masked, so one frame serves every subscriber, and the frames of a whole step of market time
go out in a single write.
"""


def text_frame(payload: bytes) -> bytes:
    """One unfragmented text frame.

    Parameters
    ----------
    payload
        UTF-8 text.
    """
    size = len(payload)
    if size < 126:
        return b"\x81" + bytes((size,)) + payload
    if size < 65_536:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload
