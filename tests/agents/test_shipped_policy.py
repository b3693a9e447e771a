"""The policy that is shipped: what its page says of it is what its file says."""

import re
import shlex
from pathlib import Path

from tidewright.agents.executor.policy import Policy
from tidewright.cli.seat_option import shipped

PAGE = Path(__file__).parents[2] / "docs" / "seat.md"


def commands() -> list[list[str]]:
    """Commands of the page's chapter on it, a backslash at a line's end going on with the next."""
    chapter = PAGE.read_text("utf-8").split("## The shipped policy\n")[1].split("\n## ")[0]
    block = re.findall(r"```\n(.*?)```", chapter, re.DOTALL)[0]
    return [shlex.split(line) for line in block.replace("\\\n", " ").splitlines()]


def test_the_page_has_the_commands_by_which_it_was_made_and_examined() -> None:
    header = Policy.load(shipped()).header
    assert commands() == [shlex.split(header["command"]), shlex.split(header["examinations"][0]["command"])]
