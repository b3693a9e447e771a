"""The options that say where lanes run: ``--threads N`` and ``--ray [ADDRESS]``."""

from typing import Annotated, Any, Final

import typer
from rich.console import Console
from typer.core import TyperCommand

_OPTION: Final = "--ray"
_ANYWHERE: Final = "auto"

Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, help="Threads that share the lanes; else one, or with many lanes one a core."),
]
Ray = Annotated[
    str | None,
    typer.Option(
        _OPTION,
        metavar="[ADDRESS]",
        help="Spread the lanes over a Ray cluster: host:port of one that this machine is part of, local for a new one "
        "of this machine's cores; without an address the one known here, else a new local one. Same results.",
    ),
]


def announce(console: Console, ray: str | None) -> None:
    """Say that connecting to Ray, or starting it, takes some seconds."""
    if ray is not None:
        console.print(f"connecting to Ray ({ray}) ...")


class WithRay(TyperCommand):
    """A command whose ``--ray`` may stand without an address."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Give a bare ``--ray`` the address that stands for any cluster."""
        words = []
        for index, word in enumerate(args):
            words.append(word)
            if word == _OPTION and "".join(args[index + 1 : index + 2])[:1] in ("", "-"):
                words.append(_ANYWHERE)
        return super().parse_args(ctx, words)
