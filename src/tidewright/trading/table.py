"""Who sits at a session's table: one strategy or a desk of several, their shadow accounts, the venue's own word."""

from dataclasses import replace
from typing import Final

from tidewright.agents.executor.executor import Executor
from tidewright.agents.executor.seat import Sitter
from tidewright.market.instrument import Instrument
from tidewright.market.tape_writer import TapeWriter
from tidewright.store.database import Database
from tidewright.trading.capital import Capital
from tidewright.trading.chair import load, refuse
from tidewright.trading.coordinator import EXECUTOR, Coordinator
from tidewright.trading.correlations import Tell
from tidewright.trading.cycles import Registration
from tidewright.trading.opening import Opened
from tidewright.trading.orders import OrderManager
from tidewright.trading.reconcile import DoesNotBalanceError
from tidewright.trading.settings import AgentSettings, SessionSettings
from tidewright.trading.several import Desk, open_desk
from tidewright.trading.shadow import Shadow, Terms, open_shadow
from tidewright.venues.interface import TradingVenue

_PATIENCE: Final = 3


def take_seats(
    coordinator: Coordinator | None,
    settings: SessionSettings,
    instrument: Instrument,
    opened: Opened,
    database: Database,
    now_ns: int,
    tell: Tell,
) -> Executor:
    """The executor of a session: of one strategy, or the desk of several. What it saw before a restart it knows.

    Parameters
    ----------
    now_ns, tell
        The time, and where alarms go: about what an operator overrides, and agents that earn and lose as one.
    """
    agents = settings.agents.strategies
    if not agents:
        alone = Executor(
            instrument, opened.started_ns, settings.cycle_ns, settings.strategy, opened.params, settings.limits
        )
        for row in opened.recalled:
            if not settings.seat.used or row.now_ns < opened.started_ns:  # a chair takes in what its policy decided on
                alone.recall(*row)
        return alone
    sitters = _sitters(settings, instrument, now_ns, tell)
    desk = open_desk(
        instrument,
        opened.started_ns,
        settings.cycle_ns,
        agents,
        settings.limits,
        opened.manager,
        database,
        opened.params,
        sitters,
    )
    for row in opened.recalled:
        desk.recall(*row)
    if isinstance(coordinator, Capital):
        coordinator.seat(desk, tell)
    return desk


def _sitters(settings: SessionSettings, instrument: Instrument, now_ns: int, tell: Tell) -> dict[str, Sitter]:
    """Policies of agents that have one; see :func:`tidewright.trading.chair.refuse`."""
    found = {}
    for name, agent in settings.agents.strategies.items():
        if agent.policy:
            alone = replace(settings, strategy=agent.strategy, params=agent.params, agents=AgentSettings())
            found[name] = load(agent.policy)
            against = refuse(found[name], alone, instrument.maker_fee)
            if against:
                told = f"policy {found[name].name} of agent {name} trades by an operator's override although "
                event = {"event": "overridden", "rule": "examination", "agent": name}
                tell(now_ns, {**event, "cause": (told + "; ".join(against))[:4000]})
    return found


def open_shadows(
    coordinator: Coordinator | None,
    settings: SessionSettings,
    instrument: Instrument,
    registration: Registration,
    opened: Opened,
    executor: Executor,
    tape: TapeWriter,
) -> Shadow | None:
    """Shadow accounts of the council's members; ``None`` where no pattern could learn from them.

    A session of the executor and the optimizer alone in ``master_slave`` keeps none: nobody asks for what it could
    learn, and the engine has to be compiled for it.
    """
    if coordinator is None:
        return None
    ledger, members = opened.manager.ledger, coordinator.council.members
    sitters: dict[str, Sitter] = {}
    if settings.agents.strategies:
        assert isinstance(executor, Desk)
        sitters = executor.sitters
        agents = {name: (agent.executor.strategy.name, agent.params) for name, agent in executor.agents.items()}
    elif settings.agents.members or (len(members) > 1 and coordinator.council.pattern != "master_slave"):
        agents = dict.fromkeys((EXECUTOR, *members[1:]), (executor.strategy.name, executor.params))
    else:
        return None
    terms = Terms(
        opened.started_ns,
        settings.cycle_ns,
        registration.entry_ns,
        registration.response_ns,
        registration.feed_ns,
        ledger.start_base,
        ledger.start_quote,
        settings.limits,
    )
    coordinator.shadow = open_shadow(instrument, terms, agents, tape, sitters)
    return coordinator.shadow


class VenueCheck:
    """Holds the books against what the venue states on the user stream, every cycle.

    A fill and the balance after it are two messages: a difference counts from the third cycle in a row on, and then the
    venue is asked outright before it is believed.
    """

    def __init__(self, venue: TradingVenue, manager: OrderManager) -> None:
        self._venue, self._manager = venue, manager
        self._wrong = 0

    async def __call__(self) -> None:
        """Check.

        Raises
        ------
        DoesNotBalanceError
            If books and account differ.
        TimedOutError
            If the venue does not answer.
        """
        ledger, told = self._manager.ledger, self._manager.told
        base, quote = ledger.instrument.base, ledger.instrument.quote
        difference = ledger.difference(told.get(base, ledger.base_units), told.get(quote, ledger.quote_units))
        self._wrong = self._wrong + 1 if difference and self._manager.certain else 0
        if self._wrong < _PATIENCE:
            return
        balances = await self._venue.balances()
        difference = ledger.difference(balances.total(base), balances.total(quote))
        if difference:
            raise DoesNotBalanceError(
                f"the ledger of session {self._manager.session} does not balance with the account: {difference}"
            )
        told.clear()
        self._wrong = 0
