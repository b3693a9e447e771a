"""``tidewright messages``: check messages between agents, their schema, a journal read and replayed, keys."""

import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import orjson
import typer

from tidewright.coordination.journal import Entry, read
from tidewright.coordination.messages import json_schema, to_object, validate
from tidewright.coordination.signing import create
from tidewright.market.errors import DataError, NotFoundError
from tidewright.trading import state_file

_ENTRY: Final = b'{"seq":'  # as the journal begins a line

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Validate messages between agents, print their schema, read and replay a journal, make keys.",
)

Files = Annotated[list[str], typer.Argument(help="Message files; a .jsonl file holds one message a line, - is stdin.")]
Json = Annotated[bool, typer.Option("--json", help="Answer with JSON as the last line of stdout.")]

Journal = Annotated[
    Path | None,
    typer.Argument(help="A journal or a session's folder; the newest under ./runs if left out.", show_default=False),
]


@app.command("validate")
def validate_files(files: Files, as_json: Json = False) -> None:
    """Check messages against the schema: exit code 0 if all are valid, 2 if one is not, 6 if a file is not there.

    Valid in form is one question, fresh and authorised another: the second is asked where a message arrives.
    """
    results = [result for name in files for result in _check(name)]
    invalid = [result for result in results if not result["valid"]]
    for result in results:
        line = "valid" if result["valid"] else f"invalid: {result['error']}"
        print(f"{result['file']}: {line}", file=sys.stderr)
    if as_json:
        summary = {"valid": len(results) - len(invalid), "invalid": len(invalid), "results": results}
        print(orjson.dumps(summary).decode())
    if invalid:
        raise typer.Exit(DataError.exit_code)


@app.command("schema")
def schema() -> None:
    """Print the schema of all messages as JSON Schema."""
    print(orjson.dumps(json_schema(), option=orjson.OPT_INDENT_2).decode())


@app.command("tail")
def tail(
    journal: Journal = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Newest lines to begin with.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")] = False,
    as_json: Json = False,
) -> None:
    """Show the newest lines of a session's journal: what was sent, received and refused, and why."""
    path = _journal(journal)
    seen = 0
    entries = list(read(path))
    for entry in entries[len(entries) - min(lines, len(entries)) :]:
        _show_entry(entry, as_json)
    seen = len(entries)
    while follow:
        time.sleep(0.3)
        for entry in read(path):
            if entry.seq > seen:
                _show_entry(entry, as_json)
                seen = entry.seq


@app.command("replay")
def replay_journal(journal: Journal = None, as_json: Json = False) -> None:
    """Make every decision of a journal again: exit code 0 if all come out the same, 1 if one does not."""
    from tidewright.trading.replay_journal import replay

    result = replay(_journal(journal))
    for words in result.differences:
        print(words, file=sys.stderr)
    word = "no difference" if not result.differences else f"{len(result.differences)} differences"
    print(
        f"{result.entries} lines: {result.received} received, {result.refused} refused; made again: "
        f"{result.verdicts} verdicts, {result.rounds} rounds of the council, {result.switches} switches; {word}",
        file=sys.stderr,
    )
    if as_json:
        print(orjson.dumps(asdict(result)).decode())
    if result.differences:
        raise typer.Exit(1)


@app.command("keys")
def keys(
    file: Annotated[Path, typer.Argument(help="New key file; readable by its owner only.")],
    agents: Annotated[list[str], typer.Argument(help="Agents to make a key for.")],
) -> None:
    """Make a key for each agent, to sign its messages with."""
    create(file, agents)
    print(f"{len(agents)} keys in {file}", file=sys.stderr)


def _journal(path: Path | None) -> Path:
    if path is None:
        path = state_file.find(None).parent
    return path / "messages.jsonl" if path.is_dir() else path


def _show_entry(entry: Entry, as_json: bool) -> None:
    if as_json:
        item = to_object(entry.message) if entry.message is not None else None
        line = {"seq": entry.seq, "at": entry.at, "event": entry.event, "reason": entry.reason, "message": item}
        print(orjson.dumps(line).decode(), flush=True)
        return
    if entry.message is None:
        what = "not a message"
    else:
        said = entry.message
        what = f"{said.source_agent} → {said.target_agent} {said.message_type}"
    print(f"{entry.seq:>6} {entry.at} {entry.event:<8} {what}{f': {entry.reason}' if entry.reason else ''}", flush=True)


def _check(name: str) -> list[dict[str, object]]:
    if name == "-":
        return [_result("stdin", sys.stdin.buffer.read())]
    path = Path(name)
    if not path.is_file():
        raise NotFoundError(f"no file {name}")
    raw = path.read_bytes()
    if path.suffix != ".jsonl":
        return [_result(name, raw)]
    return [_result(f"{name}:{number}", line) for number, line in enumerate(raw.splitlines(), 1) if line.strip()]


def _result(name: str, raw: bytes) -> dict[str, object]:
    try:
        item = validate(raw)
    except DataError as error:
        hint = "; a line of a journal has its message inside: `tidewright messages replay` checks a journal"
        return {"file": name, "valid": False, "error": f"{error}{hint if raw.startswith(_ENTRY) else ''}"}
    return {"file": name, "valid": True, "message_type": item.message_type, "schema_version": item.schema_version}
