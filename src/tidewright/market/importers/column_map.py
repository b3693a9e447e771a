"""Names of a table's columns: what can be named, and what its rows are by the names given."""

from collections.abc import Mapping
from typing import Final

from tidewright.market.errors import UsageError

ROWS: Final[dict[str, tuple[str, ...]]] = {
    "bars": ("ts", "open", "high", "low", "close", "volume"),
    "quotes": ("ts", "bid_price", "bid_qty", "ask_price", "ask_qty"),
    "levels": ("ts", "side", "price", "qty"),
    "trades": ("ts", "price", "qty"),
}
OPTIONAL: Final[dict[str, tuple[str, ...]]] = {
    "bars": (),
    "quotes": ("local",),
    "levels": ("local", "snapshot"),
    "trades": ("local", "side", "buyer_maker"),
}


def parse_columns(text: str) -> dict[str, str]:
    """The column map of ``ts=time,price=px,...``.

    Raises
    ------
    UsageError
        If a part is no ``name=column``, a name is unknown or comes twice.
    """
    known = {name for names in (*ROWS.values(), *OPTIONAL.values()) for name in names}
    columns: dict[str, str] = {}
    for part in text.split(","):
        name, equals, column = (word.strip() for word in part.partition("="))
        if not (name and equals and column):
            raise UsageError(f"columns are given as name=column,name=column,..., was {part!r}")
        if name not in known:
            raise UsageError(f"columns can be named {', '.join(sorted(known))}, not {name!r}")
        if name in columns:
            raise UsageError(f"the column for {name} is given twice")
        columns[name] = column
    return columns


def table_form(columns: Mapping[str, str], rows: str | None) -> str:
    """What the rows of a table are, checked against the columns given.

    Raises
    ------
    UsageError
        If it is unknown, or the columns are too few or too many for it.
    """
    if rows is not None and rows not in ROWS:
        raise UsageError(f"the rows of a table are one of {', '.join(ROWS)}, was {rows!r}")
    suggested = "levels" if "snapshot" in columns else "trades" if "price" in columns else "quotes"
    form = rows or ("bars" if "open" in columns else suggested)
    missing = [name for name in ROWS[form] if name not in columns]
    if missing:
        raise UsageError(
            f"a table of {form} needs the columns {', '.join(ROWS[form])}; not given: {', '.join(missing)}"
        )
    surplus = set(columns) - set(ROWS[form]) - set(OPTIONAL[form])
    if surplus:
        raise UsageError(f"a table of {form} has no use for the columns {', '.join(sorted(surplus))}")
    if "side" in columns and "buyer_maker" in columns:
        raise UsageError("side and buyer_maker say the same: give one of them")
    return form
