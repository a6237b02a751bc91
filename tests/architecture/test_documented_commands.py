"""The commands that the documentation shows, without running them."""

import shlex
from pathlib import Path

from cyclopts import CycloptsError, MissingArgumentError

from docs.site.stage import pages
from ringback.cli.app import build_app
from tests.architecture.source import ROOT
from tests.support.documented import blocks, ringback_commands

#: One names the commands of its time; the other is made of the commands.
PAGES = sorted(set(pages()) - {"CHANGELOG.md", "docs/reference/cli.md"})


def test_ringback_commands_exist_with_their_options() -> None:
    app, wrong = build_app(), []

    for page in PAGES:
        for command in ringback_commands(ROOT / page):
            try:
                app.parse_args(shlex.split(command), print_error=False, exit_on_error=False)
            except MissingArgumentError:
                # A sentence may name a command without what it needs.
                continue
            except (CycloptsError, ValueError) as exc:
                wrong.append(f"{page}: `ringback {command}`: {exc}")

    assert not wrong


def test_a_block_that_is_not_run_here_says_why() -> None:
    """Or it names the test that runs it."""
    for block in blocks():
        kind, _, reason = (block.mark or "not run: ").partition("run by ")
        if not kind:
            assert Path(ROOT / reason).is_file(), f"{block}: there is no {reason}"
        else:
            assert kind.startswith("not run: "), f"{block}: {block.mark}"
