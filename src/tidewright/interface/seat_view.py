"""Who sits in the executor's chair, in words for screens."""

from collections.abc import Mapping
from typing import Any


def lines(seat: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Label and text of each line; none where there is no chair.

    Parameters
    ----------
    seat
        As :meth:`tidewright.trading.chair.Chair.state` tells.
    """
    found: list[tuple[str, str]] = []
    if "name" in seat:
        version = f" ({seat['version']})" if seat.get("version") else ": the base rule, unshaped"
        found.append(("policy", f"{seat['name']}{version}"))
        action = seat.get("action")
        if action:
            found.append(("does", str(action["words"])))
        found += _admission(seat)
        challenge = seat.get("challenge") or {}
        if challenge.get("words"):
            found.append(("challenger", str(challenge["words"])))
            if challenge["challenger"]["sha256"] != seat["sha256"]:  # else said above
                found += _admission(challenge)
        if seat.get("refused"):
            found.append(("refused", str(seat["refused"])))
    if seat.get("sizing"):
        found.append(("sizing", str(seat["sizing"]["words"])))
    return found


def _admission(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What speaks against a policy that sits or challenges all the same, and what is not decided about it."""
    return [(name, "; ".join(told[name])) for name in ("overridden", "doubts") if told.get(name)]
