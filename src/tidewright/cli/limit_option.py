"""``--limit name=value``: the values of the risk limits."""

from dataclasses import fields
from typing import Any

from tidewright.market.errors import UsageError
from tidewright.risk.limits import Limits


def limits_of(words: list[str], *, strict: bool) -> Limits:
    """Limits with the values that were told, the others as they are by default.

    Parameters
    ----------
    words
        ``name=value`` each, with the names of :class:`tidewright.risk.limits.Limits`; ``off`` switches one off.
    strict
        Unless it is told.

    Raises
    ------
    UsageError
        If a name is unknown or a value out of range.
    """
    known = {field.name for field in fields(Limits)}
    values: dict[str, Any] = {"strict": strict}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or name not in known:
            raise UsageError(f"--limit takes name=value with a name of {', '.join(sorted(known))}, was {word!r}")
        if name in ("strict", "flatten"):
            if text not in ("true", "false"):
                raise UsageError(f"--limit {name} must be true or false, was {text!r}")
            values[name] = text == "true"
            continue
        try:
            values[name] = None if text == "off" else float(text)
        except ValueError:
            raise UsageError(f"--limit {name} must be a number or off, was {text!r}") from None
    return Limits(**values)
