"""Tidewright: a self-tuning crypto trading system. ``import tidewright as tw``."""

from tidewright import _cache

_cache.configure()

__version__ = "0.1.0"

_PUBLIC = {
    "Tape": ("tidewright.market.tape", "Tape"),
    "Instrument": ("tidewright.market.instrument", "Instrument"),
    "backtest": ("tidewright.engine.portfolio", "backtest"),
    "optimize": ("tidewright.agents.optimizer.optimize", "optimize"),
    "compare": ("tidewright.agents.comparison.contest", "compare"),
    "Search": ("tidewright.agents.optimizer.search", "Search"),
    "strategy": ("tidewright.strategies.declaration", "strategy"),
    "Parameter": ("tidewright.strategies.declaration", "Parameter"),
    "SHAPE": ("tidewright.strategies.declaration", "SHAPE"),
    "LEVELS": ("tidewright.strategies.declaration", "LEVELS"),
    "BASE_QUANTITY": ("tidewright.strategies.declaration", "BASE_QUANTITY"),
    "MAX_POSITION": ("tidewright.strategies.declaration", "MAX_POSITION"),
}

__all__ = [
    "BASE_QUANTITY",
    "LEVELS",
    "MAX_POSITION",
    "SHAPE",
    "Instrument",
    "Parameter",
    "Search",
    "Tape",
    "__version__",
    "backtest",
    "compare",
    "optimize",
    "strategy",
]


def __getattr__(name: str) -> object:
    # The public names load on first use: `tidewright --help` must not wait for numba.
    if name in _PUBLIC:
        from importlib import import_module

        module, attribute = _PUBLIC[name]
        return getattr(import_module(module), attribute)
    raise AttributeError(f"module 'tidewright' has no attribute {name!r}")
