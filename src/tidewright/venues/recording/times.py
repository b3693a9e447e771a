"""Venue times written as text."""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from tidewright.market.clock import SECOND
from tidewright.market.errors import DataError

_FORM: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:Z|\+00:00)", re.ASCII)


@lru_cache(maxsize=1024)
def _seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def text_ns(text: str) -> int:
    """Nanoseconds since 1970 of ``2026-08-09T21:05:48.228568804Z``, with 0 to 9 decimals, exact.

    Raises
    ------
    DataError
        If the text is not of this form.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise DataError(f"a time must look like 2026-08-09T21:05:48.5Z, was {text!r}")
    try:
        seconds = _seconds(found[1])
    except ValueError as error:
        raise DataError(f"not a time: {text!r} ({error})") from None
    return seconds * SECOND + int((found[2] or "0").ljust(9, "0"))
