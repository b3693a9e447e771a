"""The table of figures of a backtest: what is cut off says nothing, so a narrow window folds instead."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

from tidewright.measure.definitions import DEFINITIONS


def figures_table(title: str, names: Sequence[str]) -> Table:
    """An empty table whose columns bear the figures' titles.

    Parameters
    ----------
    names
        Figures of ``measure.definitions``, or anything else: its own heading.
    """
    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", padding=0, pad_edge=False)
    for name in names:
        heading = DEFINITIONS[name].title if name in DEFINITIONS else name.removeprefix("n_").replace("_", " ")
        table.add_column(heading, justify="right", overflow="fold")
    return table
