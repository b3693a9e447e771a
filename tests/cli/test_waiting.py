import io
import threading

from rich.console import Console

from tidewright.cli.waiting import waiting


class Page(io.StringIO):
    """Counts what is written, and tells when enough lines are there."""

    def __init__(self, lines: int) -> None:
        super().__init__()
        self.enough = threading.Event()
        self._lines = lines

    def write(self, text: str) -> int:
        written = super().write(text)
        if self.getvalue().count("so far") >= self._lines:
            self.enough.set()
        return written


def test_what_is_quick_is_not_spoken_of():
    page = Page(1)
    with waiting("nothing", Console(file=page), after_s=60.0):
        pass
    assert page.getvalue() == ""


def test_what_takes_long_is_named_with_its_seconds_and_again_later():
    page = Page(2)
    with waiting("the kernels", Console(file=page, width=100), after_s=0.0, again_s=0.01):
        assert page.enough.wait(30)
    assert page.getvalue().splitlines()[0] == "waiting for the kernels: 0 s so far"


def test_nothing_more_is_said_once_it_is_told_to_end():
    page = Page(1)
    with waiting("the kernels", Console(file=page), after_s=0.0, again_s=0.01) as done:
        assert page.enough.wait(30)
        done()
        said = page.getvalue()
    assert page.getvalue() == said


def test_on_a_terminal_a_line_counts_and_goes_away():
    page = Page(1)
    with waiting("the kernels", Console(file=page, force_terminal=True, width=100), after_s=0.0):
        assert page.enough.wait(30)
    assert "waiting for the kernels" in page.getvalue()
    assert page.getvalue().rstrip().endswith("\x1b[2K")  # the line is erased
