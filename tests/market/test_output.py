"""Files that will be written are checked before the work."""

from pathlib import Path

import pytest

from tidewright.market.errors import UsageError
from tidewright.market.output import output_file, write_whole


def test_the_folder_of_a_file_is_made(tmp_path: Path) -> None:
    target = output_file(tmp_path / "a" / "b" / "page.html", "the page")
    assert target.parent.is_dir() and not target.exists()
    target.write_text("old")
    assert output_file(target, "the page").read_text() == "old"


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot write the page to .*: it is a folder"):
        output_file(tmp_path, "the page")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"cannot write the page to .*file/page.html"):
        output_file(tmp_path / "file" / "page.html", "the page")


def test_a_text_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    target = write_whole(tmp_path / "new" / "page.html", "first")
    with pytest.raises(UnicodeEncodeError):
        write_whole(target, "broken \ud800")
    assert target.read_text() == "first"
    assert list(target.parent.iterdir()) == [target]
    with pytest.raises(UsageError, match=r"cannot write the page to .*: it is a folder"):
        write_whole(target.parent, "second")
