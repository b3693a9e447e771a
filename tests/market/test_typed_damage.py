"""What is said of parquet and feather files that cannot be read."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tidewright.market.errors import DataError
from tidewright.market.importers.csv_table import read_typed

ROWS, GROUP = 20_000, 2_000


@pytest.fixture(params=["parquet", "feather"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Ten row groups of two columns."""
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({"time": np.arange(ROWS), "price": rng.integers(0, 50, ROWS) / 100})
    path = tmp_path / f"table.{request.param}"
    if request.param == "parquet":
        frame.write_parquet(path, row_group_size=GROUP, compression="zstd")
    else:
        frame.write_ipc(path, record_batch_size=GROUP, compression="zstd")
    return path


def told(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        list(read_typed(path, ["time", "price"]))
    return str(error.value)


def test_a_file_that_was_cut_off_lacks_its_directory(file: Path) -> None:
    whole = file.read_bytes()
    for length in (len(whole) // 2, len(whole) - 9):
        said = told(file, whole[:length])
        assert str(file) in said and "the directory at the end" in said and "write or fetch it again" in said
    assert "no parquet or feather file" in told(file, b"hello")


def test_damage_inside_names_the_column_and_the_row_after_which_nothing_is_read(file: Path) -> None:
    whole = bytearray(file.read_bytes())
    place = len(whole) * 55 // 100
    length = len(whole) // 10 if file.suffix == ".parquet" else 40  # the heads of pages, or what a batch holds
    whole[place : place + length] = bytes(byte ^ 0xFF for byte in whole[place : place + length])
    said = told(file, bytes(whole))
    assert str(file) in said and "write or fetch it again" in said
    row = int(said.split("after row ")[1].split(":")[0])
    assert ", column " in said and 0 < row < ROWS and row % GROUP == 0
