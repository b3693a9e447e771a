"""Sizes of a session that nobody gave: raised once there is a price, where the venue would refuse them."""

from collections.abc import Mapping

from tidewright.agents.executor.executor import Executor
from tidewright.market.instrument import Instrument
from tidewright.strategies.sizes import Sizes
from tidewright.trading.settings import SessionSettings
from tidewright.trading.several import Desk


def size(executor: Executor, instrument: Instrument, settings: SessionSettings, equity: float, mid2: int) -> str:
    """Raise the default sizes of a strategy, or of each on a desk; a learned policy has those it learned with.

    Parameters
    ----------
    settings
        What was stated stays as it is; so does what a person, a vote or the optimizer has set since.
    mid2
        Twice the mid, ticks.

    Returns
    -------
    str
        What was raised and why; empty: nothing.
    """
    least = Sizes(instrument, mid2 * 0.5 * float(instrument.tick))
    if isinstance(executor, Desk):
        told = []
        for name, agent in executor.agents.items():
            own = settings.agents.strategies[name]
            if not own.policy:
                raised, why = _raised(least, agent.executor, agent.params, own.params, equity)
                executor.use({f"{name}.{size}": value for size, value in raised.items()})
                told += [f"{name}: {why}"] if why else []
        return "; ".join(told)
    if settings.seat.policy:
        return ""
    raised, why = _raised(least, executor, executor.params, settings.params, equity)
    if raised:
        executor.use({**executor.params, **raised})
    return why


def _raised(
    least: Sizes, executor: Executor, params: Mapping[str, float], stated: Mapping[str, float], equity: float
) -> tuple[dict[str, float], str]:
    usual = {one.name: one.default for one in executor.strategy.parameters}
    set_since = [name for name, value in params.items() if value != usual[name]]
    return least.defaults(executor.strategy, {*stated, *set_since}, equity)
