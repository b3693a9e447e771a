"""A search on a tape in a file: carried on only where everything its figures rest on is the same."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from tidewright.agents.optimizer.assumptions import differences
from tidewright.agents.optimizer.search import Search
from tidewright.market.errors import UsageError
from tidewright.market.output import output_file

EXPERIMENT: Final = "experiment"


@dataclass(frozen=True, slots=True)
class Kept:
    """A search that was saved, and what its figures rest on."""

    path: Path
    search: Search
    experiment: Mapping[str, Any]

    @classmethod
    def of(cls, path: Path | None, resume: bool) -> Self | None:
        """What is in a file that shall be carried on; ``None``: a new search, whose file can be written.

        Raises
        ------
        UsageError
            If there is a file and it shall not be carried on, or none and it shall; if it cannot be written, or is
            of a version that did not keep what its figures rest on.
        DataError
            If it is damaged, or no search.
        """
        if path is None:
            if resume:
                raise UsageError("resume needs the file of a study")
            return None
        output_file(path, "the study")
        if not path.exists():
            if resume:
                raise UsageError(f"there is no study at {path} to resume")
            return None
        if not resume:
            raise UsageError(f"there is a study at {path} already: resume it (--resume) or name another file")
        search, about = Search.reopen(path)
        if EXPERIMENT not in about:
            raise UsageError(
                f"the study at {path} does not say what its figures rest on (tape, fees, latencies, capital and so "
                "on; earlier versions did not keep it): begin a new one in another file"
            )
        return cls(path, search, about[EXPERIMENT])

    def search_on(self, experiment: Mapping[str, Any]) -> Search:
        """The search, where the same is asked for as before.

        Raises
        ------
        UsageError
            If anything is different: what, with both values.
        """
        other = differences(self.experiment, experiment)
        if other:
            raise UsageError(f"the study at {self.path} was begun with other settings: {'; '.join(other)}")
        return self.search
