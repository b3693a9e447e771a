"""``--ray`` with and without an address."""

import pytest
import typer
from typer.testing import CliRunner

from tidewright.cli.ray_option import Ray, Threads, WithRay

APP = typer.Typer()


@APP.command(cls=WithRay)
def show(ray: Ray = None, threads: Threads = None, name: str = "nobody") -> None:
    typer.echo(f"{ray} {threads} {name}")


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        ([], "None None nobody"),
        (["--ray"], "auto None nobody"),
        (["--ray", "10.0.0.1:6379"], "10.0.0.1:6379 None nobody"),
        (["--ray=local", "--name", "x"], "local None x"),
        (["--ray", "--name", "x"], "auto None x"),
        (["--name", "x", "--ray"], "auto None x"),
        (["--threads", "3"], "None 3 nobody"),
    ],
)
def test_the_address_may_be_left_out(words: list[str], printed: str) -> None:
    assert CliRunner().invoke(APP, words).stdout == f"{printed}\n"
