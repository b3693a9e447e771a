"""Market impact as a user gives it."""

from tidewright.engine.impact import Impact
from tidewright.market.errors import UsageError

NAMES = {"y": "factor", "sigma": "volatility", "volume": "volume"}


def parse_impact(text: str) -> Impact | None:
    """Impact of ``none``, ``sqrt`` (all measured) or ``sqrt:y=1,sigma=0.03,volume=20000``.

    Raises
    ------
    UsageError
        If the text is none of the forms, or a value out of range.
    """
    law, colon, rest = text.strip().partition(":")
    if law == "none" and not colon:
        return None
    if law != "sqrt":
        raise UsageError(f"market impact is none, sqrt, or sqrt:y=1,sigma=0.03,volume=20000; was {text!r}")
    values: dict[str, float] = {}
    for word in rest.split(",") if rest else []:
        name, equals, amount = (part.strip() for part in word.partition("="))
        if name not in NAMES or not equals:
            raise UsageError(f"market impact takes y=, sigma= (a day) and volume= (base, a day), was {word!r}")
        try:
            values[NAMES[name]] = float(amount)
        except ValueError:
            raise UsageError(f"{name} of market impact must be a number, was {amount!r}") from None
    return Impact(**values)
