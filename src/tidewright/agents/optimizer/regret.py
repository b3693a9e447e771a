"""The account of regret: each epoch judged again with fixed parameter sets and all that was ever put forward.

Fixed sets are judged over *all* epochs, so their lanes can be added up: the best of them in hindsight is the best fixed
choice that is known. Some are drawn once a session (a Latin hypercube of the search space, with the first parameters
and the defaults). Every set that was chosen or used later joins them and is judged over the epochs before it as well:
that is what hindsight means. The best of the compared is a floor for the best there is, so the regret against it is a
lower bound.

Other sets that were put forward (elites, finalists) can be the best of an epoch, but not of epochs before they were
known.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from tidewright.agents.optimizer.judge import Judge
from tidewright.agents.optimizer.space import Space
from tidewright.agents.optimizer.windows import Window
from tidewright.coordination.payloads import OptimizeRequest
from tidewright.market.clock import iso
from tidewright.market.errors import TidewrightError
from tidewright.measure.regret import account

F64 = npt.NDArray[np.float64]

REFERENCES: Final = 254  # drawn; with the defaults and the first incumbent 256 lanes
MOST: Final = 512  # fixed sets; of more the one that has earned least goes
ARCHIVE: Final = 192  # of what was put forward since, the newest
EAGER: Final = 96  # epochs up to which every request looks back; later only when a tenth more have come
_HISTORY: Final = 1000  # epochs kept
_JUDGED_BY: Final = {
    "cycle_ns", "latency", "fees", "limits", "queue", "equity", "base", "check_balance", "policy",
}  # of a request: what an epoch was judged with  # fmt: skip

JudgeOf = Callable[[OptimizeRequest, int], Judge]
Params = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Book:
    """The account so far, kept in the optimizer's memory as plain values.

    Attributes
    ----------
    strategy, until_ns
        What is accounted for, and up to when.
    reference
        The fixed sets; the first is the incumbent of the first request, those that joined are at the end.
    archive
        What was put forward since.
    epochs
        Of each epoch: times, what ours, the incumbent and the epoch's best earned, and each fixed set, as far as they
        have been judged (those at the end may be missing); and what the request had it judged with.
    dropped
        Fixed sets that were judged over all epochs then, and earned least; they do not come back.
    since
        Epochs that have come since sets that had joined were judged over the past.
    obstacle
        Why the last look at the past failed; empty where it did not.
    """

    strategy: str
    until_ns: int
    reference: list[dict[str, float]]
    archive: list[dict[str, float]]
    epochs: list[dict[str, Any]]
    dropped: list[dict[str, float]]
    since: int = 0
    obstacle: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {name: getattr(self, name) for name in self.__slots__}


def of_memory(kept: Mapping[str, Any]) -> Book | None:
    """The account a memory holds; ``None`` if there is none, or one of an earlier version that nothing can join."""
    return Book(**kept) if kept and all("asked" in epoch for epoch in kept["epochs"]) else None


def begin(data: OptimizeRequest, space: Space, incumbent: Params, defaults: Params) -> Book:
    """Open the account at the first request: nothing has been earned yet."""
    count = len(space.dimensions)
    rng = np.random.default_rng([data.seed, 62_001])
    strata = np.stack([rng.permutation(REFERENCES) for _ in range(count)], axis=1)
    drawn = space.decode((strata + rng.random((REFERENCES, count))) / REFERENCES)
    named = [{**incumbent, **dict(zip(space.names, row.tolist(), strict=True))} for row in drawn]
    reference = [dict(incumbent), dict(defaults), *named]
    return Book(data.strategy, data.until_ns, reference, [], [], [])


def put_forward(book: Book, found: Iterable[Params]) -> Book:
    """The account with further sets that may be the best of epochs to come; the oldest beyond the limit go."""
    archive = list(book.archive)
    for params in found:
        plain = {name: float(value) for name, value in params.items()}
        if plain in archive:
            archive.remove(plain)
        if plain not in book.reference:
            archive.append(plain)
    return replace(book, archive=archive[-ARCHIVE:])


def settle(
    judge_of: JudgeOf, book: Book, data: OptimizeRequest, incumbent: Params, chosen: Iterable[Params] = ()
) -> Book:
    """Judge the epoch that has come since the account was last brought up to date.

    Ours is what traded, piece by piece as the request tells it; where it tells nothing, the incumbent of the request.

    Parameters
    ----------
    judge_of
        Makes the judge of an epoch, from the request it is judged as and its beginning; epochs come in their order.
    chosen
        What the search has just chosen. With what was used it joins the fixed sets, for the epochs before it too.
    """
    window = Window(book.until_ns, data.until_ns)
    pieces = _pieces(data, window, incumbent)
    book = _joined(book, [incumbent, *(_at_full_size(params, incumbent) for _, params in pieces), *chosen])
    if window.cycles(data.cycle_ns) < 1:
        return book
    if len(book.epochs) <= EAGER or 10 * book.since >= len(book.epochs):
        book = _look_back(judge_of, book, data)
    judge = judge_of(data, window.start_ns)
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
        "window": [window.start_ns, window.end_ns],
        "asked": data.model_dump(include=_JUDGED_BY),
    }
    epochs = [*book.epochs, epoch][-_HISTORY:]
    return _bounded(replace(book, until_ns=data.until_ns, epochs=epochs, since=book.since + 1))


def told(book: Book) -> dict[str, Any] | None:
    """What a message says of the account; ``None`` before the first epoch is over."""
    if not book.epochs:
        return None
    table = _table(book)
    fixed = int(table.sum(axis=0).argmax())
    ours, incumbent, best = ([epoch[name] for epoch in book.epochs] for name in ("ours", "incumbent", "best"))
    found = account(ours, incumbent, table[:, fixed].tolist(), best)
    last = {name: book.epochs[-1][name] for name in ("from", "until", "ours", "incumbent", "best", "best_params")}
    return {
        **found.to_json(),
        "best_fixed": {"params": book.reference[fixed], "earned": float(table[:, fixed].sum())},
        "epoch": {**last, "best_fixed": float(table[-1, fixed])},
        "compared": table.shape[1] + len(book.dropped),
        "waiting": len(book.reference) - table.shape[1],
        "obstacle": book.obstacle,
        "other_lanes": len(book.archive),
        "fixed_by_epoch": table[:, fixed].tolist(),
        "best_by_epoch": best,
    }


def _table(book: Book) -> F64:
    """What the sets that were judged over all epochs earned, shape (epochs, sets)."""
    compared = min(len(epoch["reference"]) for epoch in book.epochs)
    return np.array([epoch["reference"][:compared] for epoch in book.epochs], np.float64)


def _joined(book: Book, found: Iterable[Params]) -> Book:
    reference = list(book.reference)
    for params in found:
        plain = {name: float(params[name]) for name in reference[0]}
        if plain not in reference and plain not in book.dropped:
            reference.append(plain)
    return replace(book, reference=reference)


def _look_back(judge_of: JudgeOf, book: Book, data: OptimizeRequest) -> Book:
    """Judge sets that have joined since over the epochs before, each as its own request had it judged."""
    epochs = []
    for epoch in book.epochs:
        missing = book.reference[len(epoch["reference"]) :]
        if not missing:
            epochs.append(epoch)
            continue
        window = Window(*epoch["window"])
        try:
            rest = data.model_dump(exclude=_JUDGED_BY, exclude_none=True)
            asked = OptimizeRequest.model_validate({**rest, **epoch["asked"]})
            earned = _earned(judge_of(asked, window.start_ns), window, missing)
        except (TidewrightError, ValidationError) as error:  # the policy of then may be gone: they wait
            return replace(book, since=0, obstacle=str(error)[:400])
        top = int(earned.argmax())
        better = {"best": float(earned[top]), "best_params": missing[top]} if earned[top] > epoch["best"] else {}
        epochs.append({**epoch, **better, "reference": [*epoch["reference"], *earned.tolist()]})
    return replace(book, epochs=epochs, since=0, obstacle="")


def _bounded(book: Book) -> Book:
    """Without the sets beyond the limit that have earned least, once all are judged over all epochs."""
    table, over = _table(book), len(book.reference) - MOST
    if over <= 0 or table.shape[1] < len(book.reference):
        return book
    worst = set((1 + np.argsort(table[:, 1:].sum(axis=0), kind="stable")[:over]).tolist())  # never the first parameters
    kept = [index for index in range(len(book.reference)) if index not in worst]
    epochs = [{**epoch, "reference": [epoch["reference"][index] for index in kept]} for epoch in book.epochs]
    reference, gone = [book.reference[index] for index in kept], [book.reference[index] for index in sorted(worst)]
    return replace(book, reference=reference, epochs=epochs, dropped=[*book.dropped, *gone])


def _at_full_size(params: Params, incumbent: Params) -> Params:
    """What traded, at the incumbent's quantity: a canary's is a stage, not a choice, and may change with the price."""
    return {name: incumbent[name] if name == "base_quantity" else value for name, value in params.items()}


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
