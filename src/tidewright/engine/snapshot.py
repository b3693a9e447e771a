"""The whole state of a run as bytes, and back: a resumed run goes on byte for byte."""

import zlib
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson

from tidewright.engine.layout import State
from tidewright.market.errors import DataError

MAGIC: Final = b"tidewright-engine-11\n"


def dump(head: dict[str, Any], state: State) -> bytes:
    """Bytes of a state with a head of plain values."""
    parts = list(state._asdict().items())
    described = [[name, array.dtype.str, list(array.shape)] for name, array in parts]
    body = b"".join(np.ascontiguousarray(array).tobytes() for _, array in parts)
    text = orjson.dumps({**head, "arrays": described})
    return MAGIC + len(text).to_bytes(8, "little") + text + zlib.compress(body, 1)


def load(data: bytes) -> tuple[dict[str, Any], State]:
    """Head and state of :func:`dump`.

    Raises
    ------
    DataError
        If the bytes are not a whole snapshot of this version.
    """
    start = len(MAGIC) + 8
    if not data.startswith(MAGIC) or len(data) < start:
        raise DataError("not an engine snapshot of this version")
    size = int.from_bytes(data[len(MAGIC) : start], "little")
    try:
        head = orjson.loads(data[start : start + size])
        body = zlib.decompress(data[start + size :])
    except (orjson.JSONDecodeError, zlib.error) as error:
        raise DataError(f"the engine snapshot is damaged: {error}") from None
    arrays: dict[str, npt.NDArray[Any]] = {}
    offset = 0
    for name, dtype, shape in head.pop("arrays"):
        count = int(np.prod(shape))
        array = np.frombuffer(body, dtype, count, offset).reshape(shape).copy()
        offset += array.nbytes
        arrays[name] = array
    return head, State(**arrays)
