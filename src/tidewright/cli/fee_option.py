"""A fee rate on the command line: a share of the traded value, never per cent."""

from tidewright.market.codes import UNIT
from tidewright.market.errors import UsageError
from tidewright.market.instrument import decimal, text_units

_RULE = "must be a share of the traded value from -1 to 1 (0.001 is 0.1 %)"


def require_rate(text: str | None, option: str) -> None:
    """See whether an option is a fee rate; a negative one is a rebate.

    Parameters
    ----------
    text
        As given; ``None``: not given.
    option
        Its name, for the message.

    Raises
    ------
    UsageError
        If it is no decimal number, finer than 1e-8, or more than the whole value.
    """
    if text is None:
        return
    try:
        decimal(text, option)
    except UsageError:
        raise UsageError(f"{option} {_RULE}, was {text!r}") from None
    units = text_units(text, option)
    if abs(units) > UNIT:
        raise UsageError(f"{option} {_RULE}, was {text} ({units / UNIT:.10g} times the value)")
