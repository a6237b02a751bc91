"""`ringback endpoints`: check, show and test the endpoints that a file declares."""

import asyncio
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import aiohttp
import orjson
from cyclopts import App, Parameter
from rich.table import Table
from rich.text import Text

from ringback.cli.client.addresses import Addresses
from ringback.cli.client.metrics import (
    DEFAULT_OPTIONS,
    CommonOptions,
    metrics_client,
    print_json,
)
from ringback.cli.options import Org
from ringback.cli.terminal import BadInputError, CommandError, JsonFlag, complain, out, write_json
from ringback.cli.views.endpoints_view import print_endpoints, print_gateways
from ringback.cli.views.formatting import plural
from ringback.local.console import printable
from ringback.runtime.endpoints.document import DocumentError
from ringback.runtime.endpoints.secret_sources import Sources
from ringback.runtime.process.lifecycle import CannotStartError
from ringback.services.gateway.endpoints.declared import EndpointEntry, json_schema
from ringback.services.gateway.endpoints.document import (
    Entries,
    built,
    read_document,
)
from ringback.services.gateway.endpoints.endpoint import PATH, unanswered
from ringback.services.gateway.endpoints.self_test import run
from ringback.services.gateway.questions.answer_process import import_answers

_STYLES = {True: "green", False: "red", None: "dim"}

_EXAMPLES = """Examples:

    ringback endpoints check endpoints.yaml
    ringback endpoints list
    ringback endpoints show acme
    ringback endpoints status
    ringback endpoints test acme
"""

endpoints = App(
    name="endpoints",
    help="Check, show and test the endpoints that a file declares "
    "(docs/how-to/declare-endpoints.md). Run it where the files and variables of its secrets are. "
    "`status` asks the running gateways instead.",
    help_epilogue=_EXAMPLES,
)

_File = Annotated[
    Path | None, Parameter(name="--file", help="The file (default: RINGBACK_ENDPOINTS_FILE).")
]
_FILE_VARIABLE = "RINGBACK_ENDPOINTS_FILE"
_ANSWERS_VARIABLE = "RINGBACK_ANSWERS"


@endpoints.command
def check(file: Path | None = None, *, json: JsonFlag = False) -> int:
    """List every mistake in a file. The exit status is 1 if there are any.

    Like a gateway, it also reads the secrets that the file names, and imports the modules in
    RINGBACK_ANSWERS if the file declares `handler: true`.

    Parameters
    ----------
    file
        The file (default: RINGBACK_ENDPOINTS_FILE).
    json
        Print one JSON object: the file, the number of its endpoints, and its mistakes.
    """
    path = _path(file)
    entries: Entries = {}
    problems: Sequence[str] = ()
    try:
        entries = read_document(path, Sources(with_signing_secrets=True))
        _require_answers(entries)
    except DocumentError as exc:
        problems = exc.problems
    if json:
        found = {"file": str(path), "endpoints": len(entries), "mistakes": list(problems)}
        write_json(orjson.dumps(found))
    elif problems:
        for problem in problems:
            out().print(Text(printable(problem)), soft_wrap=True)
        complain(f"{path} has {plural(len(problems), 'mistake')}.")
    else:
        out().print(Text(f"{path} declares {plural(len(entries), 'endpoint')}; no mistakes."))
    return 1 if problems else 0


@endpoints.command(name="list")
def _list(*, file: _File = None) -> None:
    """List the endpoints with their URLs, states, credentials, questions and forwards."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("id", "state", "org", "credentials", "questions", "forwards"):
        table.add_column(title, overflow="fold")
    for endpoint_id, entry in _entries(file).items():
        cells = (
            endpoint_id,
            entry.state,
            str(entry.org_id),
            ", ".join(entry.credential_kinds()) or "none",
            ", ".join(entry.questions) or "-",
            ", ".join(one.name for one in entry.forward) or "-",
        )
        table.add_row(*map(Text, cells))
    out().print(table)


@endpoints.command
async def status(*, org: Org = "", options: CommonOptions = DEFAULT_OPTIONS) -> None:
    """Show the endpoints that running gateways have, and the last requests that they refused."""
    async with metrics_client(options) as client:
        page = await anext(client.endpoints(org_id=org, page_size=100).by_page())
    if options.json:
        print_json(page)
        return
    now = datetime.now(UTC)
    print_endpoints(out(), page.endpoints, now)
    if page.next_page_token:
        out().print("These are the first 100. Use --org for those of one organisation.")
    print_gateways(out(), page.gateways, page.unknown_endpoint_refusals, now)
    if not page.gateways and not page.endpoints:
        out().print("No running gateway has reported an endpoint.")


@endpoints.command
def show(endpoint_id: str, /, *, file: _File = None) -> None:
    """Show all fields of one endpoint as JSON, with the sources of its secrets, not their values.

    Parameters
    ----------
    endpoint_id
        Its id in the file.
    """
    fields = entry_named(endpoint_id, file).model_dump(mode="json")
    document = {"url": f"{PATH}/{endpoint_id}", **fields}
    write_json(orjson.dumps(document, option=orjson.OPT_INDENT_2))


@endpoints.command(name="test")
def _test(endpoint_id: str, /, *, file: _File = None, url: str | None = None) -> int:
    """Send a gateway a webhook for each secret of an endpoint, and explain its answers.

    Each webhook has the type ringback.endpoint-test and is stored like any other. The exit status
    is 0 if at least one webhook was sent and each proved its sender; otherwise it is 1.

    Parameters
    ----------
    endpoint_id
        Its id in the file.
    url
        The gateway (default: RINGBACK_GATEWAY_URL, or that of `ringback up`).
    """
    entry = entry_named(endpoint_id, file)
    parts = urlsplit(url or Addresses.from_env().gateway_url)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise BadInputError(f"{url!r} is not a URL such as http://127.0.0.1:8080.")
    target = f"{parts.scheme}://{parts.netloc}{PATH}/{endpoint_id}"
    out().print(Text(target))
    try:
        findings = asyncio.run(run(entry, target))
    except (aiohttp.ClientError, OSError) as exc:
        raise CommandError(
            f"The gateway at {target} cannot be reached: {type(exc).__name__}. "
            "Check --url, and whether the gateway runs."
        ) from exc
    for finding in findings:
        style = _STYLES[finding.is_proven]
        line = Text(f"{finding.probe.name}: ").append(printable(finding.words), style)
        out().print(line, soft_wrap=True)
    proven = [finding.is_proven for finding in findings if finding.is_proven is not None]
    return 0 if proven and all(proven) else 1


@endpoints.command
def schema() -> None:
    """Print the JSON Schema of the file, for editors and reviews."""
    write_json(orjson.dumps(json_schema(), option=orjson.OPT_INDENT_2))


def entry_named(endpoint_id: str, file: Path | None) -> EndpointEntry:
    """The entry of an endpoint. Raises BadInputError if there is none."""
    entries = _entries(file)
    if endpoint_id not in entries:
        known = ", ".join(list(entries)[:10]) or "none"
        raise BadInputError(f"There is no endpoint {endpoint_id}. The file declares: {known}.")
    return entries[endpoint_id]


def _entries(file: Path | None) -> Entries:
    path = _path(file)
    try:
        return read_document(path, Sources(with_signing_secrets=True))
    except DocumentError as exc:
        problems = "\n".join(map(printable, exc.problems))
        raise BadInputError(f"{path} is not usable:\n{problems}") from None


def _require_answers(entries: Entries) -> None:
    """Raise DocumentError if a question has `handler: true`, but no function answers it."""
    endpoints = built(entries)
    if not unanswered(endpoints, ()):
        return
    try:
        types = import_answers(os.environ.get(_ANSWERS_VARIABLE, ""))
    except CannotStartError as exc:
        raise DocumentError(str(exc).splitlines()) from None
    problems = unanswered(endpoints, types)
    if problems:
        raise DocumentError(problems)


def _path(file: Path | None) -> Path:
    found = file or os.environ.get(_FILE_VARIABLE, "").strip()
    if not found:
        raise BadInputError(f"Name a file, or set {_FILE_VARIABLE}.")
    return Path(found).expanduser()
