"""Samplers by name."""

from collections.abc import Callable, Sequence
from typing import Final

from tidewright.agents.optimizer.samplers.ensemble import Ensemble
from tidewright.agents.optimizer.samplers.genetic import GeneticSampler
from tidewright.agents.optimizer.samplers.history import Sampler
from tidewright.agents.optimizer.samplers.lines import LineSampler
from tidewright.agents.optimizer.space import Space
from tidewright.market.errors import UsageError

ENSEMBLE: Final = "ensemble"
PARTS: Final = ("gp", "forest", "tpe", "genetic")  # of the ensemble where no parts are named
QUICK: Final = ("lines",)  # that join them where judging takes less than their thinking


def _gp(space: Space) -> Sampler:
    from tidewright.agents.optimizer.samplers.gaussian import GaussianModel
    from tidewright.agents.optimizer.samplers.surrogate import SurrogateSampler

    return SurrogateSampler(space, GaussianModel())


def _forest(space: Space) -> Sampler:
    from tidewright.agents.optimizer.samplers.forest import ForestModel
    from tidewright.agents.optimizer.samplers.surrogate import SurrogateSampler

    return SurrogateSampler(space, ForestModel())


def _optuna(kind: str) -> Callable[[Space], Sampler]:
    def make(space: Space) -> Sampler:
        from tidewright.agents.optimizer.samplers.with_optuna import OptunaSampler

        return OptunaSampler(space, kind)

    return make


SAMPLERS: Final[dict[str, Callable[[Space], Sampler]]] = {
    "gp": _gp,
    "forest": _forest,
    "tpe": _optuna("tpe"),
    "genetic": GeneticSampler,
    "optuna_gp": _optuna("optuna_gp"),
    "lines": LineSampler,
}


def choose(sampler: str | Sequence[str], space: Space) -> Sampler:
    """A sampler: a name, ``"ensemble"``, or the names of an ensemble's parts.

    Raises
    ------
    UsageError
        If a name is unknown.
    """
    names = (*PARTS, *QUICK) if sampler == ENSEMBLE else (sampler,) if isinstance(sampler, str) else tuple(sampler)
    unknown = [name for name in names if name not in SAMPLERS]
    if unknown or not names or len(set(names)) < len(names):
        known = ", ".join((ENSEMBLE, *SAMPLERS))
        raise UsageError(f"sampler must be one of {known}, or different parts of an ensemble; was {sampler!r}")
    if isinstance(sampler, str) and sampler != ENSEMBLE:
        return SAMPLERS[sampler](space)
    return Ensemble({name: SAMPLERS[name](space) for name in names}, QUICK if sampler == ENSEMBLE else ())
