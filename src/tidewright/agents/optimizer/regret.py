"""The account of regret: each epoch judged again with a fixed reference set and all that was ever put forward.

The reference set is drawn once a session (a Latin hypercube of the search space, with the defaults) and never
changed, so its lanes can be added up over epochs: the best of them in hindsight is the best *fixed* choice. Parameter
sets put forward later (elites, finalists, proposals, incumbents) can be the best of an epoch, but not of epochs
before they were known.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tidewright.agents.optimizer.judge import Judge
from tidewright.agents.optimizer.space import Space
from tidewright.agents.optimizer.windows import Window
from tidewright.coordination.payloads import OptimizeRequest
from tidewright.market.clock import iso
from tidewright.measure.regret import account

F64 = npt.NDArray[np.float64]

REFERENCES: Final = 62  # drawn; with the defaults and the first incumbent 64 lanes
ARCHIVE: Final = 192  # of what was put forward since, the newest
_HISTORY: Final = 1000  # epochs kept
_TOLD: Final = 200  # epochs of the best fixed choice that a message carries

Params = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Book:
    """The account so far, kept in the optimizer's memory as plain values.

    Attributes
    ----------
    strategy, until_ns
        What is accounted for, and up to when.
    reference
        The fixed lanes; the first is the incumbent of the first request.
    archive
        What was put forward since.
    epochs
        Of each epoch: times, what ours, the incumbent and the epoch's best earned, and every reference lane.
    """

    strategy: str
    until_ns: int
    reference: list[dict[str, float]]
    archive: list[dict[str, float]]
    epochs: list[dict[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {name: getattr(self, name) for name in self.__slots__}


def of_memory(kept: Mapping[str, Any]) -> Book | None:
    """The account a memory holds, if any."""
    return Book(**kept) if kept else None


def begin(data: OptimizeRequest, space: Space, incumbent: Params, defaults: Params) -> Book:
    """Open the account at the first request: nothing has been earned yet."""
    count = len(space.dimensions)
    rng = np.random.default_rng([data.seed, 62_001])
    strata = np.stack([rng.permutation(REFERENCES) for _ in range(count)], axis=1)
    drawn = space.decode((strata + rng.random((REFERENCES, count))) / REFERENCES)
    named = [{**incumbent, **dict(zip(space.names, row.tolist(), strict=True))} for row in drawn]
    reference = [dict(incumbent), dict(defaults), *named]
    return Book(data.strategy, data.until_ns, reference, [], [])


def put_forward(book: Book, found: Iterable[Params]) -> Book:
    """The account with further parameter sets; the oldest beyond the limit go."""
    archive = list(book.archive)
    for params in found:
        plain = {name: float(value) for name, value in params.items()}
        if plain in archive:
            archive.remove(plain)
        if plain not in book.reference:
            archive.append(plain)
    return Book(book.strategy, book.until_ns, book.reference, archive[-ARCHIVE:], book.epochs)


def settle(judge: Judge, book: Book, data: OptimizeRequest, incumbent: Params) -> Book:
    """Judge the epoch that has come since the account was last brought up to date.

    Ours is what traded, piece by piece as the request tells it; where it tells nothing, the incumbent of the request.
    """
    window = Window(book.until_ns, data.until_ns)
    if window.cycles(data.cycle_ns) < 1:
        return book
    pieces = _pieces(data, window, incumbent)
    lanes = [*book.reference, *book.archive]
    whole = len(pieces) == 1
    if whole:
        lanes.append(pieces[0][1])
    earned = _earned(judge, window, lanes)
    ours = earned[-1] if whole else sum(float(_earned(judge, piece, [params])[0]) for piece, params in pieces)
    top = int(earned.argmax())
    epoch = {
        "from": iso(window.start_ns),
        "until": iso(window.end_ns),
        "ours": float(ours),
        "incumbent": float(earned[0]),
        "best": float(max(earned[top], ours)),
        "best_params": lanes[top],
        "reference": earned[: len(book.reference)].tolist(),
    }
    return Book(book.strategy, data.until_ns, book.reference, book.archive, [*book.epochs, epoch][-_HISTORY:])


def told(book: Book) -> dict[str, Any] | None:
    """What a message says of the account; ``None`` before the first epoch is over."""
    if not book.epochs:
        return None
    table = np.array([epoch["reference"] for epoch in book.epochs], np.float64)
    fixed = int(table.sum(axis=0).argmax())
    ours, incumbent, best = ([epoch[name] for epoch in book.epochs] for name in ("ours", "incumbent", "best"))
    found = account(ours, incumbent, table[:, fixed].tolist(), best)
    last = {name: value for name, value in book.epochs[-1].items() if name != "reference"}
    return {
        **found.to_json(),
        "best_fixed": {"params": book.reference[fixed], "earned": float(table[:, fixed].sum())},
        "epoch": {**last, "best_fixed": float(table[-1, fixed])},
        "reference_lanes": len(book.reference),
        "other_lanes": len(book.archive),
        "fixed_by_epoch": table[-_TOLD:, fixed].tolist(),
    }


def _pieces(data: OptimizeRequest, window: Window, incumbent: Params) -> list[tuple[Window, dict[str, float]]]:
    """Stretches of the epoch with the parameters that traded in each, on the grid of decisions."""
    traded = [(item.from_ns, item.params.values()) for item in data.traded or ()]
    starts = [(max(window.start_ns, since), {**incumbent, **params}) for since, params in traded]
    starts = [(since, params) for since, params in starts if since < window.end_ns] or [(0, dict(incumbent))]
    found = []
    for index, (since, params) in enumerate(starts):
        begin_ns = window.start_ns if index == 0 else _on_grid(since, window.start_ns, data.cycle_ns)
        until = window.end_ns
        if index + 1 < len(starts):
            until = _on_grid(starts[index + 1][0], window.start_ns, data.cycle_ns)
        if until - begin_ns >= data.cycle_ns:
            found.append((Window(begin_ns, until), params))
    return found or [(window, dict(incumbent))]


def _on_grid(time_ns: int, start_ns: int, cycle_ns: int) -> int:
    return start_ns + max(0, time_ns - start_ns) // cycle_ns * cycle_ns


def _earned(judge: Judge, window: Window, lanes: list[dict[str, float]]) -> F64:
    params = {name: np.array([lane[name] for lane in lanes]) for name in lanes[0]}
    statistics = judge.evaluate(window, params, len(lanes)).statistics
    return np.asarray(statistics["equity_end"], np.float64) - np.asarray(statistics["equity_start"], np.float64)
