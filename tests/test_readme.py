"""The README's example runs as it stands."""

import re
from pathlib import Path

import pytest

from tidewright.market.synthetic import synthesize

README = Path(__file__).parents[1] / "README.md"


def test_the_example_runs_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    synthesize(tmp_path / "my-tape", hours=0.5)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) == 1
    exec(compile(blocks[0], "README.md", "exec"), {})
    assert "maker_fee" in capsys.readouterr().out


def test_it_keeps_to_its_length() -> None:
    assert len(README.read_text().splitlines()) <= 150
