"""The command line: ``tidewright COMMAND``. Loads only the command that is asked for."""

import difflib
import signal
import sys
from contextlib import nullcontext
from importlib import import_module
from typing import Final, NoReturn

import typer
from rich.console import Console
from rich.table import Table

import tidewright
from tidewright.cli.ending import Terminated, prompt_ending, terminate
from tidewright.market.errors import TidewrightError

# name: (module, attribute, what it does). An attribute is a function or a typer.Typer of sub-commands.
COMMANDS: Final[dict[str, tuple[str, str, str]]] = {
    "demo": ("tidewright.cli.demo", "demo", "the whole system on a paper exchange of its own"),
    "trade": ("tidewright.cli.trade", "trade", "a session against a configured venue, paper by default"),
    "status": ("tidewright.cli.status", "status", "what a running session is doing"),
    "stop": ("tidewright.cli.stop", "stop", "end a running session: cancel what is open, report; --emergency: now"),
    "menu": ("tidewright.cli.menu", "menu", "the interactive control menu: start, watch, set, report, stop"),
    "report": ("tidewright.cli.report", "report", "figures and the HTML page of a session"),
    "exchange": ("tidewright.cli.exchange", "exchange", "only the paper exchange; it speaks Binance's spot protocol"),
    "backtest": ("tidewright.cli.backtest", "app", "one strategy over a tape, one lane or many"),
    "optimize": ("tidewright.cli.optimize", "app", "search parameters on a tape, in and out of sample"),
    "compare": ("tidewright.cli.compare", "compare", "bots on held-out windows, paired on the same events"),
    "train": ("tidewright.cli.train", "train", "learn a policy by reinforcement on tapes"),
    "evolve": ("tidewright.cli.evolve", "evolve", "learn a policy without torch: each lane tries one of its own"),
    "limits": ("tidewright.cli.limits", "limits", "what limits remember; release a halt"),
    "stress": ("tidewright.cli.stress", "stress", "past crises and your own scenarios, on a book and on tapes"),
    "evaluate": ("tidewright.cli.evaluate", "evaluate", "what a learned policy is worth, and does when"),
    "data": ("tidewright.cli.data", "app", "import, record, show, check and synthesise tapes"),
    "messages": ("tidewright.cli.messages", "app", "messages between agents: validate, schema, tail, replay, keys"),
}

COMPUTING: Final = {"backtest", "optimize", "compare", "train", "evolve", "stress", "evaluate"}  # without an event loop


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit with its code.

    0 done, 1 error, 2 usage or bad input, 3 not running, 4 configuration, 5 time-out, 6 not found.
    """
    words = sys.argv[1:] if arguments is None else arguments
    if arguments is None:
        signal.signal(signal.SIGTERM, terminate)
    if not words or words[0] in ("-h", "--help", "help"):
        _overview()
        sys.exit(0 if words else 2)
    if words[0] in ("-V", "--version", "version"):
        print(f"tidewright {tidewright.__version__}")
        sys.exit(0)
    name = words[0]
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        _fail(f"unknown command {name!r}.{hint} `tidewright --help` lists them.", 2)
    try:
        with prompt_ending() if arguments is None and name in COMPUTING else nullcontext():
            code = _command(name)(words[1:], prog_name=f"tidewright {name}", standalone_mode=False)
    except TidewrightError as error:
        _fail(str(error), error.exit_code)
    except typer.TyperException as error:
        _fail_usage(error, name)
    except KeyboardInterrupt:
        _fail("interrupted", 130)
    except Terminated as ended:
        _fail("ended by SIGTERM", int(str(ended.code)))
    sys.exit(code if isinstance(code, int) else 0)


def _command(name: str) -> typer.Typer:
    module, attribute, _ = COMMANDS[name]
    found = getattr(import_module(module), attribute)
    if isinstance(found, typer.Typer):
        found.pretty_exceptions_enable = False
        return found
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command()(found)
    return app


def _overview() -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, (_, _, summary) in COMMANDS.items():
        table.add_row(f"  [bold]{name}[/]", summary)
    console = Console(highlight=False)
    console.print(f"Tidewright {tidewright.__version__}: a self-tuning crypto trading system\n")
    console.print("usage: tidewright COMMAND [OPTIONS]   (tidewright COMMAND --help explains one)\n")
    console.print(table)
    console.print("\nStart with `tidewright demo`: no account, no network, no keys.")
    console.print("Exit codes: 0 done, 1 error, 2 bad input, 3 not running, 4 configuration, 5 time-out, 6 not found.")


def _fail(message: str, code: int) -> NoReturn:
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"[bold red]error:[/] {_plain(message)}")
    sys.exit(code)


def _fail_usage(error: typer.TyperException, name: str) -> NoReturn:
    """One line for options and arguments that cannot be read; the help where a command was given none at all."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else f"tidewright {name}"
    message = error.format_message().strip()
    if context is not None and message == context.get_help().strip():
        print(message, file=sys.stderr)
        sys.exit(error.exit_code)
    text = message.replace("Input should be", "must be").replace("Value error, ", "").rstrip(".")
    _fail(f"{text[:1].lower()}{text[1:]}. See `{path} --help`.", error.exit_code)


def _plain(text: str) -> str:
    return text.replace("[", r"\[")


if __name__ == "__main__":
    main()
