"""A learned policy examined: whether it can fool us, and whether what it learned is worth having.

Learning finds whatever a simulation does wrong. So before a policy may trade, six questions, each with a rule that was
written down beforehand:

* ``leak``: who knows the next move must profit greatly without a fee, else these tapes could not show that anything
  leaks;
* ``fair_game``: on tapes on which nobody can earn, it must not;
* ``seeds``: what learning is worth over all seeds, not the luckiest one;
* ``fees``: what it earns at several fees, those it learned with always among them;
* ``ablations``: whether each part of it, and each number of the state, is worth having;
* ``behaviour``: what it does when.

All contenders of a tape and a fee are lanes of one replay, so every comparison is paired on the same events. No verdict
depends on which other fees are asked for, or on the order of fees or tapes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np

from tidewright.agents.executor.evaluation import BP, behaviour
from tidewright.agents.executor.examination_leak import halves, learn_leaked
from tidewright.agents.executor.examination_panel import (
    BASE,
    FORESIGHT,
    POLICY,
    TOLD,
    Contender,
    Seen,
    ablations,
    contenders,
    moves_of,
    run_panel,
)
from tidewright.agents.executor.learned_on import Hours, record, shared
from tidewright.agents.executor.policy import Policy
from tidewright.agents.executor.policy_run import settings_of, tape_hash
from tidewright.agents.executor.seating import (
    ABLATIONS,
    BEHAVIOUR,
    FAILED,
    FAIR_GAME,
    FEES,
    HEADER,
    LEAK,
    PASSED,
    SEEDS,
    UNDECIDED,
    Examination,
    Report,
    added,
    fingerprint,
)
from tidewright.market.clock import HOUR
from tidewright.market.errors import UsageError
from tidewright.market.fair_game import FAIR_GAMES, fair_game, steps_of
from tidewright.market.instrument import units_text
from tidewright.market.tape import F64, Tape
from tidewright.measure.blocks import Mean, mean_of
from tidewright.measure.mids import tape_mids
from tidewright.measure.over_seeds import over_seeds

LEVEL: Final = 0.05  # of every examination as a whole; shared out over its tests (Bonferroni)
FAR: Final = 3.0  # "greatly": so many deviations of the mean
FEWEST: Final = 100  # cycles without which nothing is said
SEEDS_NEEDED: Final = 5
DRAWS_OF_FAIR_GAMES: Final = 3
WINDOW_NS: Final = HOUR
FREE: Final = 0.0  # basis points: where a leak is looked for, and where one can be seen on any tape that moves

Tell = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class Standing:
    """One contender at one fee, over all tapes.

    Attributes
    ----------
    who, fee_bp
        Its name; maker fee, basis points.
    profit
        Equity change a cycle, in basis points of what the largest allowed position was worth.
    quote
        Profit over all tapes, quote.
    fills
        How many.
    traded
        Volume, quote.
    aside
        Share of decisions at which it quoted nothing.
    """

    who: str
    fee_bp: float
    profit: Mean
    quote: float
    fills: int
    traded: float
    aside: float

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        plain = {name: getattr(self, name) for name in ("who", "fee_bp", "quote", "fills", "traded", "aside")}
        return {**plain, **self.profit._asdict()}


class Game(NamedTuple):
    """Fair games of a kind at a fee, one after another.

    Attributes
    ----------
    changes, traded
        Of the policy and of who knows the next move, (cycles, 2), see
        :class:`~tidewright.agents.executor.examination_panel.Seen`.
    fills
        The policy's.
    """

    changes: F64
    traded: F64
    fills: int


@dataclass(frozen=True, slots=True)
class Examined:
    """What came of it.

    Attributes
    ----------
    report
        What goes into the policy's file.
    standings
        Every contender at every fee.
    behaviour
        As in :class:`tidewright.agents.executor.evaluation.Evaluation`.
    """

    report: Report
    standings: list[Standing]
    behaviour: dict[str, list[dict[str, float]]]

    @property
    def examinations(self) -> list[Examination]:
        """One a question."""
        return list(self.report.results)

    def written(self, policy: Policy, *there: Policy) -> Policy:
        """The policy with this report in its header, beside those that it and the files that were there have."""
        return replace(policy, header={**policy.header, HEADER: added(self.report, policy, *there)})


def examine(
    tapes: Sequence[Tape],
    policy: Policy,
    fees_bp: Sequence[float] = (0.0, 1.0, 2.0, 4.0, 8.0),
    *,
    train_leak: bool = False,
    date: str = "",
    command: str = "",
    version: str = "",
    tell: Tell | None = None,
) -> Examined:
    """Examine a policy on tapes it did not learn on.

    Parameters
    ----------
    fees_bp
        Maker fees, basis points; 0 and those it learned with are examined in any case, lowest first.
    train_leak
        Also let a policy learn with the next move in its state, on the first half of the longest tape, and demand of
        it what is demanded of the rule that knows it.
    date, command, version
        When, how and by which version it was examined, for the policy's file.
    tell
        Called with the share that is done and what comes next.

    Raises
    ------
    UsageError
        If it learned on one of the tapes, one is too short, or one is given twice.
    """
    if not tapes:
        raise UsageError("an examination needs at least one tape")
    tapes, hashes = _in_order(tapes, policy)
    listed = contenders(policy)
    learned = _learned_fees(policy, tapes)
    asked = {round(fee * BP) / BP for fee in fees_bp}  # as a venue has them: rates in 1e-8
    fees_bp = sorted({FREE, *learned, *asked})
    fee_of_game = _lowest_paid(learned)
    jobs = int(train_leak) + len(tapes) * (len(fees_bp) + 1) + 2 * len(FAIR_GAMES) * DRAWS_OF_FAIR_GAMES
    done = 0

    def told(what: str) -> None:
        nonlocal done
        if tell is not None:
            tell(done / jobs, what)
        done += 1

    seen: dict[float, list[Seen]] = {fee: [] for fee in fees_bp}
    for tape in tapes:
        told(f"{tape.instrument.symbol}: moves")
        future = _future(tape, policy)
        for fee in fees_bp:
            told(f"{tape.instrument.symbol}: {len(listed)} contenders at {fee:g} bp")
            seen[fee].append(run_panel(tape, policy, listed, _rates(tape, fee), future))
    games = _fair_games(tapes, policy, fee_of_game, told)
    # At a fee beyond the moves of a cycle nobody can profit from knowing them: a leak is looked for where none is paid.
    open_games = _fair_games(tapes, policy, FREE, told)
    leaked = _trained(tapes[0], policy, FREE, told) if train_leak else None
    pooled = {fee: np.concatenate([one.changes for one in seen[fee]]) for fee in fees_bp}
    free = np.concatenate([one.traded() for one in seen[FREE]])
    shown = behaviour(
        [row[:1] for one in seen[learned[0]] for row in one.panel.observations],
        [(a[:1], b[:1]) for one in seen[learned[0]] for a, b in one.panel.actions],
    )
    paid = [fee for fee in learned if fee == fee_of_game] or learned[:1]
    examinations = (
        _leak(listed, free, open_games, leaked),
        _fair(games, fee_of_game),
        _seeds(listed, seen[paid[0]], paid[0]),
        _fees({fee: mean_of(pooled[fee][:, 0]) for fee in fees_bp}, learned),
        _ablations(listed, np.mean([pooled[fee] for fee in learned], axis=0), learned),
        _behaviour(shown),
    )
    if tell is not None:
        tell(1.0, "done")
    report = Report(
        fingerprint(policy),
        [record(one, digest) for one, digest in zip(tapes, hashes, strict=True)],
        fees_bp,
        len(free),
        train_leak,
        examinations,
        date,
        version,
        command,
    )
    standings = [_standing(listed, place, fee, seen[fee]) for fee in fees_bp for place in range(len(listed))]
    return Examined(report, standings, shown)


# -- what is run ------------------------------------------------------------------------------------------------------


def _in_order(tapes: Sequence[Tape], policy: Policy) -> tuple[list[Tape], list[str]]:
    """The tapes, longest first, and their hashes."""
    known = {one["sha256"] for one in policy.header.get("data", ())}
    found: dict[str, Tape] = {}
    for tape in tapes:
        digest = tape_hash(tape)
        if digest in known:
            raise UsageError(f"the policy learned on {tape.path}: an examination needs tapes it has not seen")
        if (learned := shared(policy.header, Hours.of(tape))) is not None:
            raise UsageError(
                f"the policy learned on {learned.words()}, and {tape.path} holds {Hours.of(tape).words()}: the same "
                "market at the same time; an examination needs tapes it has not seen"
            )
        if digest in found:
            raise UsageError(f"{tape.path} and {found[digest].path} hold the same: a tape counts once")
        found[digest] = tape
    hashes = sorted(found, key=lambda digest: (found[digest].start_ns - found[digest].end_ns, digest))
    return [found[digest] for digest in hashes], hashes


def _learned_fees(policy: Policy, tapes: Sequence[Tape]) -> list[float]:
    """Maker fees it met while learning, basis points, lowest first; with none drawn it paid those of its tapes."""
    drawn = settings_of(policy).random.maker_fees
    return sorted({rate / BP for rate in drawn or [tape.instrument.maker_fee for tape in tapes]})


def _lowest_paid(learned: Sequence[float]) -> float:
    """The lowest fee over 0 that it learned with, else 1 basis point."""
    return next((fee for fee in learned if fee > 0.0), 1.0)


def _rates(tape: Tape, fee_bp: float) -> tuple[str, str]:
    return units_text(round(fee_bp * BP)), units_text(tape.instrument.taker_fee)


def _future(tape: Tape, policy: Policy) -> F64:
    alone = run_panel(tape, policy, [Contender(BASE, fixed=("levels",))], _rates(tape, 0.0))
    moves = moves_of(alone.panel.mids)
    if len(moves) <= settings_of(policy).warm_up + FEWEST:
        span = (tape.end_ns - tape.start_ns) / HOUR
        need = (settings_of(policy).warm_up + FEWEST + 2) * settings_of(policy).cycle_ns / HOUR
        raise UsageError(f"an examination needs {need:.2f} h of tape at this cycle, {tape.path} has {span:.2f} h")
    return moves


def _fair_games(tapes: Sequence[Tape], policy: Policy, fee_bp: float, told: Callable[[str], None]) -> dict[str, Game]:
    """The policy and who knows the next move on each kind."""
    listed = [Contender(POLICY), Contender(FORESIGHT, foresight=True)]
    found: dict[str, Game] = {}
    for kind in FAIR_GAMES:
        changes, traded, fills = [], [], 0
        for draw in range(DRAWS_OF_FAIR_GAMES):
            told(f"{kind} tape {draw + 1}")
            tape = tapes[draw % len(tapes)]
            game = fair_game(tape, *_even_mids(tape), kind, seed=draw)
            one = run_panel(game, policy, listed, _rates(tape, fee_bp), _future(game, policy))
            changes.append(one.changes)
            traded.append(one.traded())
            fills += int(one.result.statistics["n_fills"][0])
        found[kind] = Game(np.concatenate(changes), np.concatenate(traded), fills)
    return found


def _trained(tape: Tape, policy: Policy, fee_bp: float, told: Callable[[str], None]) -> F64:
    """On a tape's second half, (cycles, 2): the policy, and who learned the first with the next move.

    What their trades earned, see :meth:`~tidewright.agents.executor.examination_panel.Seen.traded`.
    """
    told("learning with the next move in the state")
    earlier, later = halves(tape)
    knowing = learn_leaked(earlier, settings_of(policy), fee_bp)
    listed = [Contender(POLICY), Contender(TOLD, told=knowing)]
    return run_panel(later, policy, listed, _rates(tape, fee_bp), _future(later, policy)).traded()


def _even_mids(tape: Tape) -> tuple[F64, int]:
    step = steps_of(tape.end_ns - tape.start_ns)
    series = tape_mids(tape.data, float(tape.instrument.tick))
    mids = series.at(np.arange(tape.start_ns, tape.end_ns + 1, step))
    return mids[np.isfinite(mids) & (mids > 0.0)], step


# -- what is asked ----------------------------------------------------------------------------------------------------


def _leak(listed: list[Contender], traded: F64, games: dict[str, Game], trained: F64 | None = None) -> Examination:
    rule = (
        "what trades earned by the end of the cycle they were made in, without a fee; passed: who knows the next move "
        f"earns at least {FAR:g} deviations more than nothing and than the policy, on the tapes and on both fair "
        "games; failed: on one of them it does not earn more at all, so that a leak could not be seen"
    )
    if trained is not None:
        rule += "; the same of a policy that learned with the next move in its state, on what it did not learn on"
    knowing = [one.name for one in listed].index(FORESIGHT)
    pairs = {"tapes": (traded[:, knowing], traded[:, 0])}
    pairs |= {kind: (game.traded[:, 1], game.traded[:, 0]) for kind, game in games.items()}
    if trained is not None:
        pairs["learned"] = (trained[:, 1], trained[:, 0])
    figures: dict[str, Any] = {"fee_bp": FREE}
    verdict = PASSED
    for name, (mine, theirs) in pairs.items():
        both = mean_of(mine), mean_of(mine - theirs)
        figures[name] = {"profit": both[0]._asdict(), "over_policy": both[1]._asdict()}
        if any(one.value <= 0.0 for one in both):
            verdict = FAILED
        elif verdict == PASSED and not all(one.value > FAR * one.deviation for one in both):
            verdict = UNDECIDED
    return Examination(LEAK, verdict, rule, figures)


def _fair(games: dict[str, Game], fee: float) -> Examination:
    level = LEVEL / len(games)
    rule = (
        f"failed: its mean profit on one of the {len(games)} kinds of fair game at {fee:g} bp is above 0 with a "
        f"one-sided p <= {level:g} (circular block bootstrap); passed: it is not"
    )
    found = {kind: mean_of(game.changes[:, 0]) for kind, game in games.items()}
    figures: dict[str, Any] = {"fee_bp": fee, "level": level}
    figures |= {kind: {**mean._asdict(), "fills": games[kind].fills} for kind, mean in found.items()}
    earns = any(mean.p_above <= level for mean in found.values())
    return Examination(FAIR_GAME, FAILED if earns else PASSED, rule, figures)


def _seeds(listed: list[Contender], seen: list[Seen], fee: float) -> Examination:
    rule = (
        f"over the members' profits less the base rule's in windows of {WINDOW_NS // HOUR} h, interquartile mean with "
        "a 95 % stratified bootstrap interval over seeds and windows; passed: the interval lies above 0; failed: below "
        f"0; with fewer than {SEEDS_NEEDED} seeds there is not enough evidence"
    )
    places = [place for place, one in enumerate(listed) if one.member is not None]
    base = [one.name for one in listed].index(BASE)
    windows = np.concatenate([_windows(one) for one in seen])
    raw, gained = windows[:, places].T, (windows[:, places] - windows[:, [base]]).T
    profit, over_base = (over_seeds(each, sampled_tasks=True) for each in (raw, gained))
    figures = {
        "fee_bp": fee,
        "unit": "bp of the largest position a window",
        "profit": profit._asdict(),
        "over_base_rule": over_base._asdict(),
        "over_base_rule_in_these_windows": over_seeds(gained)._asdict(),
        "members": {listed[place].name: float(windows[:, place].mean()) for place in places},
    }
    verdict = PASSED if over_base.low > 0.0 else FAILED if over_base.high < 0.0 else UNDECIDED
    return Examination(SEEDS, verdict if len(places) >= SEEDS_NEEDED else UNDECIDED, rule, figures)


def _windows(seen: Seen) -> F64:
    """Changes summed over windows, (windows, lanes); what is left at the end belongs to the last one."""
    each = max(1, WINDOW_NS // seen.panel.settings.cycle_ns)
    starts = np.arange(max(1, len(seen.changes) // each)) * each
    return np.asarray(np.add.reduceat(seen.changes, starts, axis=0), np.float64)


def _fees(found: dict[float, Mean], learned: list[float]) -> Examination:
    level = LEVEL / len(learned)
    rule = (
        f"at the fees it learned with ({', '.join(f'{fee:g}' for fee in learned)} bp), one-sided p <= {level:g} each "
        "(circular block bootstrap); failed: a loss is shown at one of them; passed: none is, and a profit is shown at "
        "one"
    )
    figures = {f"{fee:g}": mean._asdict() for fee, mean in found.items()}
    loses = any(found[fee].p_below <= level for fee in learned)
    earns = any(found[fee].p_above <= level for fee in learned)
    return Examination(FEES, FAILED if loses else PASSED if earns else UNDECIDED, rule, figures)


def _ablations(listed: list[Contender], changes: F64, learned: list[float]) -> Examination:
    places = ablations(listed)
    level = LEVEL / len(places)
    rule = (
        f"mean over the fees it learned with, paired cycle by cycle, one-sided p <= {level:.2g} each (5 % over "
        f"{len(places)}); failed: it is shown to earn less than its base rule or than itself without a part; passed: "
        "none of these, and it is shown to earn more than its base rule"
    )
    found = {listed[place].name: mean_of(changes[:, 0] - changes[:, place]) for place in places}
    worse = [name for name, mean in found.items() if mean.p_below <= level]
    figures: dict[str, Any] = {"fees_bp": learned, "level": level, "worse_than": worse}
    figures["gain_over"] = {name: mean._asdict() for name, mean in found.items()}
    verdict = FAILED if worse else PASSED if found[BASE].p_above <= level else UNDECIDED
    return Examination(ABLATIONS, verdict, rule, figures)


def _behaviour(shown: dict[str, list[dict[str, float]]]) -> Examination:
    rule = (
        "passed: it quotes, and what it does differs between thirds of at least one number of the state (levels or "
        "stance by 0.05, skew or spread by 0.02); else there is not enough evidence that it looks at the market at all"
    )
    least = {"levels": 0.05, "stance": 0.05, "skew": 0.02, "spread": 0.02}
    widest = {
        name: {part: max(third[part] for third in thirds) - min(third[part] for third in thirds) for part in least}
        for name, thirds in shown.items()
    }
    quotes = any(third["levels"] > 0.0 for thirds in shown.values() for third in thirds)
    acts = quotes and any(spans[part] > least[part] for spans in widest.values() for part in least)
    return Examination(BEHAVIOUR, PASSED if acts else UNDECIDED, rule, {"range_over_thirds": widest})


def _standing(listed: list[Contender], place: int, fee: float, seen: list[Seen]) -> Standing:
    changes = np.concatenate([one.changes[:, place] for one in seen])
    sums = [one.result.statistics for one in seen]
    quiet = [float(each[1][place, 0] == 0) for one in seen for each in one.panel.actions]
    return Standing(
        listed[place].name,
        fee,
        mean_of(changes),
        float(sum(one.changes[:, place].sum() * one.worth / 1e4 for one in seen)),
        int(sum(one["n_fills"][place] for one in sums)),
        float(sum(one["volume_quote"][place] for one in sums)),
        float(np.mean(quiet)) if quiet else float("nan"),
    )
