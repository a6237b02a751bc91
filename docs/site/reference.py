"""Writes the reference pages that are made of the code: `python -m docs.site.reference FOLDER`."""

import json
import re
import sys
from pathlib import Path
from typing import Any

from docs.site.openapi_page import openapi_page
from docs.site.stage import MADE, ROOT
from ringback.cli.app import build_app
from tests.architecture.config_example import SECRETS, SERVICES, default_of, readers, variable_of

_SETTINGS = """\
# Settings

Each service reads its settings from environment variables when it starts. A process with invalid
settings does not start, and its error lists all of them. An empty variable counts as not set.
[config.example.env](../../config.example.env) has the same as a file to copy."""
_DECISIONS = """\
# Decisions

Each record gives the reason for a decision that a newcomer would question, and what was rejected.
"""
_PAGES_IN_TEXT = re.compile(r"\bdocs/([\w/-]+\.md)")


def command_line() -> str:
    made = build_app().generate_docs(heading_level=1)
    # For a command of a command, cyclopts names the module that Python runs now.
    made = re.sub(r"^(ringback [a-z -]+?) -m \S+", r"\1", made, flags=re.MULTILINE)
    # GitHub and the site make different anchors of a heading with an option.
    made = made.replace(
        "[`--install-completion`](#ringback-install-completion)", "`--install-completion`"
    )
    head, _, rest = made.partition("## Table of Contents")
    # The site has its own table of contents.
    _, _, commands = rest.partition("\n\n**")
    return head.replace("# ringback", "# The `ringback` command", 1) + "**" + commands


def settings() -> str:
    lines = [_SETTINGS]
    section: tuple[str, ...] = ()
    for name, services in readers().items():
        if services != section:
            section = services
            title = "All services" if len(services) == len(SERVICES) else " and ".join(services)
            title = title[0].upper() + title[1:]
            lines += ["", f"## {title}", "", "| variable | what | default |", "|---|---|---|"]
        field = SERVICES[services[0]].model_fields[name]
        what = _PAGES_IN_TEXT.sub(r"[\1](../\1)", field.description or "").replace("|", "\\|")
        if name in SECRETS:
            what += f" Or a file: `{variable_of(name)}_FILE`."
        default = default_of(field)
        shown = "required" if default is None else f"`{default}`" if default else ""
        lines.append(f"| `{variable_of(name)}` | {what} | {shown} |")
    return "\n".join(lines) + "\n"


def rest() -> str:
    return openapi_page("The REST API", _read("ringback/metrics/v1/openapi.json"))


def gateway() -> str:
    return openapi_page("The gateway's HTTP", _read("docs/gateway-openapi.json"))


def _read(path: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((ROOT / path).read_text(encoding="utf-8"))
    return document


def decisions() -> str:
    """The list of the ADRs."""
    lines = [_DECISIONS]
    for path in sorted((ROOT / "docs/adr").glob("0*.md")):
        title = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        lines.append(f"- [{title}]({path.name})")
    return "\n".join(lines) + "\n"


def reference_pages() -> dict[str, str]:
    """The text of each page by its path in docs/."""
    made = {
        "reference/cli.md": command_line(),
        "reference/settings.md": settings(),
        "reference/rest.md": rest(),
        "reference/gateway.md": gateway(),
        "adr/README.md": decisions(),
    }
    return {path: MADE + text for path, text in made.items()}


if __name__ == "__main__":
    for name, page in reference_pages().items():
        target = Path(sys.argv[1]) / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(page, encoding="utf-8")
