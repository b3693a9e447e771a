"""The executor's chair during a session: who sits, who challenges, what is quoted of the size, and a journal of it."""

import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from tidewright.agents.executor.canary import MARGIN
from tidewright.agents.executor.challenge import OPEN, Challenge, Step, comparison_of, step_of
from tidewright.agents.executor.environment_tape import STRATEGY
from tidewright.agents.executor.executor import Executor
from tidewright.agents.executor.seat import BASE, Seat, Sitter
from tidewright.agents.executor.seat_fit import TUNED, doubts, mismatches, size_mismatches, sizes, undecided
from tidewright.agents.executor.sizing import Sizer
from tidewright.coordination.messages import Message, encode, message
from tidewright.market.codes import UNIT
from tidewright.market.errors import TidewrightError, UsageError
from tidewright.market.instrument import Instrument
from tidewright.store import schema
from tidewright.store.database import Database, Row
from tidewright.strategies import registry
from tidewright.strategies.declaration import SHAPE
from tidewright.trading.ledger import Ledger
from tidewright.trading.settings import SessionSettings

FOLDER: Final = "policies"
EXECUTOR: Final = "executor"
_OVERRIDE: Final = "--override-examination (override_examination = true) seats it all the same"
_TRIED: Final = (*OPEN, "settled")  # steps of a challenger that is tried, or sits


class Admission(NamedTuple):
    """What there is to say of a policy that was let in.

    Attributes
    ----------
    overridden
        What speaks against it, by an operator's override.
    doubts
        What came to no result.
    """

    overridden: list[str]
    doubts: list[str]

    def words(self) -> str:
        """To be added to a sentence; empty: nothing."""
        against = f"; by an operator's override although {'; '.join(self.overridden)}" if self.overridden else ""
        return against + (f"; {'; '.join(self.doubts)}" if self.doubts else "")


class Chair:
    """Who sits in a session, and how that changes.

    Parameters
    ----------
    folder
        Of the session; policies are copied there, so that a restart finds those it traded with.

    Attributes
    ----------
    seat
        ``None``: nobody steers, only sizes follow.
    note
        Writes one row of the message table; the session sets it.
    """

    def __init__(self, folder: Path, settings: SessionSettings) -> None:
        self._folder, self._settings, self._told = folder, settings, settings.seat
        self.note: Callable[..., None] = lambda **row: None
        self.seat: Seat | None = None
        self._sitters: dict[str, Sitter] = {}
        self._admitted: dict[str, Admission] = {}
        self.challenge: Challenge | None = None
        self._sizer = Sizer(self._told.kelly) if self._told.sizing == "kelly" else None
        self._sized = False
        self._last_traded: float | None = None
        self._refused = ""
        if self._told.policy:
            sitter = self._kept(load(self._told.policy))
            self.seat = Seat(sitter)
            self.challenge = Challenge(self._told.challenge, settings.cycle_ns, sitter.reference())

    # -- the beginning -------------------------------------------------------------------------------------------------

    def check(self, instrument: Instrument) -> None:
        """Refuse a policy that does not belong here, before anything is written or sent.

        Raises
        ------
        UsageError
            With every reason, and what would be enough.
        """
        self._instrument = instrument
        if self.seat is None:
            return
        self._admit(self.seat.sitter)
        if self._told.challenger:
            self._admit(load(self._told.challenger))

    def open(self, executor: Executor, database: Database, session: str, now_ns: int) -> None:
        """Sit down: at the beginning of a session, or where it broke off."""
        self._executor = executor
        equity = database.rows(schema.equity, session)
        if self.seat is not None:
            executor.pilot = self.seat
            messages = database.rows(schema.messages, session)
            began = self._began(messages)
            if equity:
                self._size(equity[0]["equity_units"] / UNIT, equity[0]["mid2_ticks"])
            self._restore(messages)
            self._announce(now_ns, "resumed" if began else "opened")
        decisions = {row["ts"]: row for row in database.rows(schema.decisions, session)}
        for row in equity:
            self._recall(row, decisions.get(row["ts"]))

    def _began(self, messages: list[Row]) -> bool:
        """Whether the session began with the policy it is started with now; one that began otherwise is refused."""
        assert self.seat is not None
        for row in messages:
            if row["message_type"] == "status" and row["direction"] == "out":
                data = orjson.loads(row["body"])["data"]
                if data["state"] != "seat_opened":
                    continue
                if data["sits"]["sha256"] != self.seat.sitter.sha256:
                    told = f"{data['sits']['name']} ({data['sits']['sha256'][:12]})"
                    raise UsageError(f"the session was begun with policy {told}: go on with it, or begin another one")
                return True
        return False

    def _recall(self, row: Row, decision: Row | None) -> None:
        """Remember a decision of before a restart."""
        self._earned(row["realised_units"] + row["unrealised_units"] - row["fees_units"], row["equity_units"])
        whole = decision is not None or row["ts"] <= self._executor.start_ns
        mid2 = row["mid2_ticks"] if whole else 0
        self._executor.recall(row["ts"], row["position_lots"], row["equity_units"] / UNIT, mid2)
        if decision is not None:
            self._executor.scale = float(orjson.loads(decision["quotes"]).get("scale", 1.0))
        if self.seat is not None and decision is not None:
            self.seat.recall(orjson.loads(decision["state"]))

    def _restore(self, messages: list[Row]) -> None:
        """The challenge when the session broke off, from its journal: each step and each comparison again."""
        assert self.challenge is not None
        for row in messages:
            if row["message_type"] == "command" or not row["body"]:
                continue
            data = orjson.loads(row["body"]).get("data", {})
            if row["direction"] == "in" and (seen := comparison_of(data)) is not None:
                self.challenge.note(seen)
            elif row["direction"] == "out" and (step := step_of(data, row["ts"])) is not None:
                self.challenge.apply(step)
        open_ones = (self.challenge.challenger, self.challenge.seated) if self.challenge.stage in OPEN else ()
        for reference in open_ones or (self.challenge.sits,):
            self._admit(self._sitter(reference))  # whoever starts it again has to override it again
        self._sit()

    def _size(self, equity: float, mid2: int) -> None:
        """Quantities in the proportions a policy learned with, unless they are set; refuse those that are far off."""
        if self._sized or self.seat is None or mid2 <= 0 or equity <= 0.0:
            return
        self._sized = True
        executor, sitter = self._executor, self.seat.sitter
        mid = mid2 * 0.5 * float(self._instrument.tick)
        limits = self._settings.limits
        names, told = ("base_quantity", "max_position"), self._settings.params
        if sitter.policy is not None and not any(name in told for name in names):
            found = sizes(sitter, equity, mid, float(self._instrument.lot), limits.max_position_share)
            executor.use({**executor.params, **dict(zip(names, found, strict=True))})
            return
        if limits.max_position_share is not None:
            allowed = limits.max_position_share * equity / mid
            quantity, largest = (executor.params[name] for name in names)
            wrong = size_mismatches(sitter, quantity, largest, allowed)
            if wrong:
                raise UsageError(f"policy {sitter.name} does not fit: {'; '.join(wrong)}")

    # -- each cycle ----------------------------------------------------------------------------------------------------

    def begin(self, now_ns: int, equity: float, mid2: int, ledger: Ledger) -> None:
        """Before a decision: sizes, and a canary that nobody watches."""
        self._size(equity, mid2)
        units = ledger.realised_units + ledger.unrealised_units(mid2) - ledger.fees_units(mid2)
        self._earned(units, ledger.equity_units(mid2))
        if self.challenge is not None and (step := self.challenge.check(now_ns)) is not None:
            self._take(step)
        self._scale(mid2 * 0.5 * float(self._instrument.tick))

    def _earned(self, traded_units: int, equity_units: int) -> None:
        traded = traded_units / UNIT
        if self._sizer is not None and self._last_traded is not None:
            share = self._executor.scale
            self._sizer.observe(traded - self._last_traded, equity_units / UNIT, share)
        self._last_traded = traded

    def _scale(self, mid: float) -> None:
        """Share of ``base_quantity`` that is quoted now; never less than the venue accepts."""
        share = self._sizer.share if self._sizer is not None else 1.0
        if self.challenge is not None and self.challenge.canary:
            share *= self._told.challenge.canary.fraction
        full = self._executor.params.get("base_quantity", 0.0)
        if share < 1.0 and full > 0.0 and mid > 0.0:
            filters, lot = self._instrument.filters, float(self._instrument.lot)
            worth = filters.min_notional / UNIT * MARGIN
            least = max(filters.min_qty_lots, math.ceil(worth / (lot * mid))) * lot
            share = min(1.0, max(share, least / full * (1.0 + 1e-9)))
        self._executor.scale = share

    def journal(self) -> dict[str, Any]:
        """What a decision's row says of it, beside the quotes."""
        told: dict[str, Any] = {}
        if self.seat is not None:
            told["seat"] = self.seat.sitter.sha256[:12] or BASE
            if self.seat.newest is not None:
                told["action"] = self.seat.newest.to_json()
        if self._executor.scale != 1.0:
            told["scale"] = self._executor.scale
        return told

    # -- the optimizer's part ------------------------------------------------------------------------------------------

    @property
    def held(self) -> str:
        """Why no new parameters can be taken now; empty: they can."""
        if self.challenge is not None and self.challenge.canary:
            return f"policy {self.challenge.challenger['name']} runs as a canary"
        return ""

    def request(self, now_ns: int) -> dict[str, Any]:
        """What a request to the optimizer says of the chair; the first one begins the challenge that was asked for."""
        if self.seat is None or self.challenge is None:
            return {}
        if self._told.challenger and not self.challenge.challenge_id:
            sitter = self._kept(load(self._told.challenger))
            self._begin(now_ns, sitter)
        found: dict[str, Any] = {"space": tuned_space(self._settings.strategy)}
        if self.seat.sitter.policy is not None:
            found["policy"] = self.seat.sitter.reference()
        asked = self.challenge.request()
        if asked is not None:
            found["challenge"] = asked
        if self._told.fine_tune and self.seat.sitter.policy is not None:
            found["fine_tune"] = True
        return found

    def heard(self, now_ns: int, item: Message, wait: str) -> None:
        """An answer of the optimizer: evidence, and perhaps a policy it proposes.

        Parameters
        ----------
        wait
            Why nobody can be seated now; empty: somebody can.
        """
        if self.challenge is None:
            return
        carried = getattr(item.data, "challenge", None)
        seen = None if carried is None else comparison_of({"challenge": carried.model_dump()})
        if seen is not None and (step := self.challenge.observe(seen, now_ns, wait)) is not None:
            self._take(step)
        proposed = getattr(item.data, "policy_proposal", None)
        if proposed is not None:
            self._proposed(now_ns, proposed.policy.model_dump(), proposed.parent)

    def _proposed(self, now_ns: int, reference: Mapping[str, str], parent: str) -> None:
        assert self.challenge is not None and self.seat is not None
        try:
            sitter = self._kept(Sitter.of(reference))
            if parent and parent != self.seat.sitter.sha256:
                raise UsageError(f"it was trained on from {parent[:12]}, {self.seat.sitter.name} sits now")
            self._begin(now_ns, sitter)
        except TidewrightError as error:
            self._refused = f"{reference.get('name', '')}: {error}"
            self._tell(now_ns, "seat_proposal_refused", self._refused, {"policy": dict(reference)})

    def _begin(self, now_ns: int, sitter: Sitter) -> None:
        assert self.challenge is not None
        self._admit(sitter)
        self._take(self.challenge.begin(now_ns, f"challenge-{now_ns}", sitter.reference()))

    def _admit(self, sitter: Sitter) -> None:
        """Refuse a policy that may not sit, unless an operator overrides it: see :func:`refuse`."""
        against = refuse(sitter, self._settings, self._instrument.maker_fee)
        self._admitted[sitter.sha256] = Admission(against, undecided(sitter))

    def _take(self, step: Step) -> None:
        told: dict[str, Any] = {"seat": step.data()}
        reason = step.cause
        if step.stage in _TRIED:
            admission = self._admitted[step.challenger["sha256"]]
            told |= admission._asdict()
            reason += admission.words()
        self._tell(step.at_ns, f"seat_{step.stage}", reason, told)
        self._sit()

    def _sit(self) -> None:
        assert self.challenge is not None and self.seat is not None
        sits = self.challenge.sits
        if sits["sha256"] != self.seat.sitter.sha256:
            self.seat.sit(self._sitter(sits))

    def _announce(self, now_ns: int, word: str) -> None:
        assert self.seat is not None
        sitter = self.seat.sitter
        reason = f"{sitter.name} sits ({sitter.version})" if sitter.policy is not None else "the base rule sits"
        admission = self._admitted[sitter.sha256]
        more = {"sits": sitter.reference(), **admission._asdict()}
        self._tell(now_ns, f"seat_{word}", reason + admission.words(), more)

    def _tell(self, now_ns: int, state: str, reason: str, more: Mapping[str, Any]) -> None:
        item = message("status", now_ns, EXECUTOR, EXECUTOR, {"state": state, "reason": reason[:4000], **more})
        body = encode(item).decode()
        self.note(ts=now_ns, direction="out", message_type="status", body=body, verdict="seat", why=reason)

    # -- files ---------------------------------------------------------------------------------------------------------

    def _kept(self, sitter: Sitter) -> Sitter:
        """The same with its file copied into the session's folder, under its SHA-256."""
        if sitter.policy is not None:
            path = self._folder / FOLDER / f"{sitter.sha256}.tw"
            if not path.is_file():
                path.parent.mkdir(parents=True, exist_ok=True)
                draft = path.with_suffix(".draft")
                shutil.copyfile(sitter.path, draft)
                draft.replace(path)
            sitter = Sitter.of({"name": sitter.name, "path": str(path.resolve()), "sha256": sitter.sha256})
        self._sitters[sitter.sha256] = sitter
        return sitter

    def _sitter(self, reference: Mapping[str, str]) -> Sitter:
        known = self._sitters.get(reference["sha256"])
        if known is None:
            known = self._sitters[reference["sha256"]] = Sitter.of(reference)
        return known

    # -- showing -------------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """For ``status --json`` and displays."""
        found: dict[str, Any] = {}
        if self.seat is not None and self.challenge is not None:
            sitter, newest = self.seat.sitter, self.seat.newest
            found |= {
                **sitter.reference(),
                "version": sitter.version,
                "action": None if newest is None else {**newest.to_json(), "words": newest.words()},
                **self._admitted[sitter.sha256]._asdict(),
                "challenge": self._challenged(self.challenge),
                "refused": self._refused,
            }
        if self._sizer is not None:
            found["sizing"] = {**self._sizer.state(), "words": self._sizer.text()}
        if found:
            found["scale"] = self._executor.scale
        return found

    def _challenged(self, challenge: Challenge) -> dict[str, Any]:
        admission = self._admitted.get(challenge.challenger.get("sha256", ""), Admission([], []))
        return {**challenge.state(), **(admission._asdict() if challenge.challenge_id else {})}


def load(told: str) -> Sitter:
    """Who is meant by a policy's file, or by ``"base"``.

    Raises
    ------
    NotFoundError, DataError, UsageError
        As :meth:`tidewright.agents.executor.seat.Sitter.load`.
    """
    return Sitter() if told == BASE else Sitter.load(Path(told))


def refuse(sitter: Sitter, settings: SessionSettings, maker_fee: int | None) -> list[str]:
    """What speaks against a policy and was overridden by the operator.

    Parameters
    ----------
    maker_fee
        Rate in 1e-8; ``None``: not known yet.

    Raises
    ------
    UsageError
        If it does not fit, or something speaks against it and nobody overrides that.
    """
    wrong = mismatches(sitter, settings.strategy, settings.cycle_ns)
    if wrong:
        raise UsageError(f"policy {sitter.name} does not fit: {'; '.join(wrong)}")
    against = doubts(sitter, maker_fee)
    if against and not settings.seat.override_examination:
        raise UsageError(f"policy {sitter.name} may not sit: {'; '.join(against)}. {_OVERRIDE}")
    return against


def tuned_space(strategy: str) -> dict[str, dict[str, float | str]]:
    """Ranges of a strategy's parameters that an optimizer tunes under a policy: all that are searched but its shape."""
    shape = {parameter.name for parameter in SHAPE}
    found: dict[str, dict[str, float | str]] = {}
    for one in registry.strategy(strategy).parameters:
        searched = {"low": one.search_low, "high": one.search_high}
        ranges = TUNED.get(one.name) if strategy == STRATEGY else searched
        if ranges is not None and ranges["low"] < ranges["high"] and one.name not in shape:
            found[one.name] = {**ranges, "kind": "log" if one.log else "int" if one.integer else "float"}
    return found
