"""``tidewright demo`` on the command line: what it refuses before anything is started."""

from pathlib import Path

import pytest

from tidewright.cli.main import main
from tidewright.market.reduce import reduce_tape
from tidewright.market.synthetic import synthesize


def test_a_tape_of_best_quotes_is_refused_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A session follows depth, of which an exchange on such a tape has none."""
    reduce_tape(synthesize(tmp_path / "whole", hours=0.3, seed=3), "best-quotes", tmp_path / "touch")
    with pytest.raises(SystemExit) as ended:
        main(["demo", "--tape", str(tmp_path / "touch"), "--out", str(tmp_path / "run")])
    told = " ".join(capsys.readouterr().err.split())
    assert (
        ended.value.code == 2 and "tells only the best quotes" in told and "backtest and optimize take this one" in told
    )
    assert not (tmp_path / "run").exists()
