"""``tidewright messages``: check messages between agents, print their schema."""

import sys
from pathlib import Path
from typing import Annotated

import orjson
import typer

from tidewright.coordination.messages import json_schema, validate
from tidewright.market.errors import DataError, NotFoundError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Validate messages between agents, print their schema.",
)

Files = Annotated[list[str], typer.Argument(help="Message files; a .jsonl file holds one message a line, - is stdin.")]
Json = Annotated[bool, typer.Option("--json", help="Answer with JSON as the last line of stdout.")]


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
        return {"file": name, "valid": False, "error": str(error)}
    return {"file": name, "valid": True, "message_type": item.message_type, "schema_version": item.schema_version}
