"""``tidewright stress``: what past crises and your own scenarios would do to a book, and to whole tapes."""

import tomllib
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console

from tidewright.cli.limit_option import limits_of
from tidewright.cli.waiting import waiting
from tidewright.market.clock import parse_duration
from tidewright.market.errors import NotFoundError, UsageError
from tidewright.market.output import output_file, write_whole


def stress(
    folder: Annotated[
        Path | None,
        typer.Argument(help="A session's folder; the newest under ./runs if left out.", show_default=False),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", "-f", help="TOML: [[scenario]] of your own; `equity` and [[holding]] instead of a session."
        ),
    ] = None,
    scenario: Annotated[
        list[str] | None, typer.Option("--scenario", "-s", help="Only this one; again for more.")
    ] = None,
    tape: Annotated[
        Path | None, typer.Option("--tape", help="Trade this tape under limits, as it is and with --overlay.")
    ] = None,
    overlay: Annotated[
        list[str] | None,
        typer.Option(
            "--overlay", help="Lay a scenario of `data synth` over the tape: flash-crash:drop=0.2; again for more."
        ),
    ] = None,
    strategy: Annotated[str, typer.Option(help="Strategy of the tapes.")] = "grid",
    set_: Annotated[list[str] | None, typer.Option("--set", help="A parameter, name=value.")] = None,
    equity: Annotated[float, typer.Option(help="What the tapes' account starts with, quote.")] = 10_000.0,
    cycle: Annotated[str, typer.Option(help="Time between decisions on tapes.")] = "30s",
    limit: Annotated[
        list[str] | None, typer.Option("--limit", help="A limit of the tapes, name=value or name=off (docs/risk.md).")
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page with charts to this file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON; all else goes to stderr.")] = False,
) -> None:
    """Revalue the present book in crises, add what leaving would cost then, and say which limits break.

    With --tape also whole tapes through the engine: loss, time to be flat, which limit fired when, slippage with cause.
    """
    from tidewright.interface import stress_book, stress_page
    from tidewright.risk.stress import describe, read_scenarios, revalue

    if overlay and tape is None:
        raise UsageError("--overlay needs --tape: a scenario is laid over recorded or synthetic rows")
    console = Console(stderr=True, highlight=False)
    told = {} if file is None else _toml(file)
    own = read_scenarios({"scenario": told["scenario"]}) if "scenario" in told else []
    shocks = _chosen(own, scenario)
    limits = limits_of(limit or [], strict=True)
    if html is not None:
        output_file(html, "the page")
    present: stress_book.Present | None = None
    if "holding" in told:
        present = stress_book.of_holdings(told, limits)
    elif folder is not None or tape is None:
        present = stress_book.of_session(folder)
    outcomes = []
    if present is not None:
        outcomes = [revalue(shock, present.positions, present.equity, present.limits) for shock in shocks]
    runs: list[Any] = []
    if tape is not None:
        with waiting("the tapes to be traded (the first run compiles the engine)", console):
            runs, sized = _runs(tape, overlay or [], strategy, set_ or [], equity, parse_duration(cycle), limits)
        if sized:
            console.print(f"note: {sized}", markup=False)
    shown = console if as_json else Console(highlight=False)
    if not shown.is_terminal:
        shown = Console(stderr=as_json, highlight=False, width=140)  # a table cut to a narrow pipe says nothing
    shown.print(stress_page.render(present, outcomes, runs, shown.width))
    if html is not None:
        made = write_whole(html, stress_page.page(present, shocks, outcomes, runs))
        console.print(f"page: {made}", soft_wrap=True)
    if as_json:
        answer: dict[str, Any] = {
            "source": None if present is None else present.source,
            "equity": None if present is None else present.equity,
            "scenarios": [describe(shock) for shock in shocks],
            "outcomes": [one.to_json() for one in outcomes],
            "tapes": [run.to_json() for run in runs],
        }
        print(orjson.dumps(answer).decode())


def _toml(path: Path) -> dict[str, Any]:
    try:
        told = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise NotFoundError(f"no file of scenarios at {path} ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not TOML: {error}") from None
    unknown = set(told) - {"scenario", "holding", "equity"}
    if unknown:
        raise UsageError(f"{path}: unknown {', '.join(sorted(unknown))}; known: equity, [[holding]], [[scenario]]")
    return told


def _chosen(own: list[Any], names: list[str] | None) -> list[Any]:
    from tidewright.risk.stress import SHOCKS

    known = {**SHOCKS, **{shock.name: shock for shock in own}}
    for name in names or []:
        if name not in known:
            raise UsageError(f"scenario must be one of {', '.join(known)}, was {name!r}")
    return [known[name] for name in names] if names else list(known.values())


def _runs(
    path: Path, overlays: list[str], strategy: str, words: list[str], equity: float, cycle_ns: int, limits: Any
) -> tuple[list[Any], str]:
    from tidewright.engine import stress as engine
    from tidewright.market.scenarios import overlay, parse_scenario
    from tidewright.market.tape import Tape, concatenate
    from tidewright.strategies import registry
    from tidewright.strategies.sizes import Sizes

    params: dict[str, float] = {}
    for word in words:
        name, equals, text = word.partition("=")
        try:
            params[name] = float(text) if equals else float("nan")
        except ValueError:
            raise UsageError(f"--set {name} must be a number, was {text!r}") from None
        if not equals:
            raise UsageError(f"--set takes name=value, was {word!r}")
    source = Tape.open(path)
    if not equity > 0:
        raise UsageError(f"--equity must be > 0, was {equity}")
    sizes, sized = Sizes.of(source), ""
    if sizes is not None:
        raised, sized = sizes.defaults(registry.strategy(strategy), params, equity)
        params |= raised
    setup = engine.Setup(strategy, params, limits, cycle_ns, equity=equity)
    runs = [engine.run(path.name, source.instrument, source.data, setup)]
    for text in overlays:
        laid = concatenate(overlay([source.data], parse_scenario(text), source.start_ns, source.end_ns))
        runs.append(engine.run(f"{path.name} + {text}", source.instrument, laid, setup))
    return runs, sized
