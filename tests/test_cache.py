"""What the folder of compiled code is named after."""

from pathlib import Path

from tidewright._cache import kernel_sources, source_hash


def _package(root: Path) -> Path:
    files = {
        "codes.py": "BUY = 1\n",
        "kernel.py": "from numba import njit\n\nfrom tidewright.rules import (\n    first,\n)\n",
        "rules.py": "from tidewright import codes\n",
        "small.py": "from tidewright.market.inner import inner\n",
        "report.py": "from tidewright.kernel import run\n",
    }
    for name, text in files.items():
        (root / name).write_text(text)
    return root


def test_a_constant_that_a_kernel_reaches_through_another_module_is_part_of_the_key(tmp_path: Path) -> None:
    root = _package(tmp_path)
    assert [path.name for path in kernel_sources(root)] == ["codes.py", "kernel.py", "rules.py", "small.py"]
    before = source_hash(root)
    (root / "codes.py").write_text("BUY = 2\n")
    assert source_hash(root) != before


def test_what_no_kernel_reaches_compiles_nothing_anew(tmp_path: Path) -> None:
    root = _package(tmp_path)
    before = source_hash(root)
    (root / "report.py").write_text("from tidewright.kernel import run  # a new sentence\n")
    assert source_hash(root) == before


def test_every_kernel_of_the_package_is_in_the_key() -> None:
    root = Path(__file__).parents[1] / "src" / "tidewright"
    names = {path.relative_to(root).as_posix() for path in kernel_sources(root)}
    assert {"engine/kernel.py", "engine/layout.py", "market/codes.py", "risk/gate.py", "strategies/grid.py"} <= names
    assert "cli/main.py" not in names
