"""A changed file is in force as a whole, or not at all."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from multidict import CIMultiDict

from ringback.runtime.endpoints.reload import Reloader
from ringback.runtime.endpoints.secret_sources import Sources
from ringback.runtime.process.settings import load
from ringback.services.gateway.endpoints.endpoint import PATH, PROVEN
from ringback.services.gateway.endpoints.table import EndpointTable
from ringback.services.gateway.settings import GatewaySettings
from tests.support.eventually import eventually

ORG = "5b0c2f0e-7d1c-4a55-9a86-2f2f5f1f0001"
FROM_FILE = "{file: FOLDER/secret}"
LINKS = {
    "RINGBACK_AMQP_URL": "amqp://broker/",
    "RINGBACK_DATABASE_URL": "postgresql://database/ringback",
}


@dataclass
class Told:
    """What the reloader told its instruments, in order."""

    lines: list[tuple[str, list[str]]] = field(default_factory=list)

    def endpoints_reloaded(self, changed: list[str], *, count: int) -> None:
        del count
        self.lines.append(("reloaded", changed))

    def endpoints_rejected(self, problems: list[str]) -> None:
        self.lines.append(("rejected", problems))

    def failed(self) -> None:
        self.lines.append(("failed", []))


@dataclass
class Reloading:
    folder: Path
    table: EndpointTable
    told: Told

    def write(self, *names: str, secret: str = FROM_FILE, more: str = "") -> None:
        listed = "".join(f"\n  {name}: {{org_id: {ORG}, secret: {secret}{more}}}" for name in names)
        text = f"endpoints: {listed or '{}'}\n".replace("FOLDER", str(self.folder))
        (self.folder / "new.yaml").write_text(text)
        (self.folder / "new.yaml").replace(self.folder / "endpoints.yaml")

    def accepts(self, name: str, secret: str) -> bool:
        endpoint = self.table.routes.get(f"{PATH}/{name}")
        headers = CIMultiDict({"X-Vapi-Secret": secret})
        return endpoint is not None and endpoint.check_head(headers, 0.0) is PROVEN

    async def next_line(self) -> tuple[str, list[str]]:
        """The next thing that the reloader tells."""
        await eventually(lambda: self.told.lines)
        return self.told.lines.pop(0)


@asynccontextmanager
async def reloading(folder: Path, **environ: str) -> AsyncGenerator[Reloading]:
    (folder / "secret").write_text("one\n")
    kept = Reloading(folder, EndpointTable(()), Told())
    kept.write("acme", "beta")
    file = {"RINGBACK_ENDPOINTS_FILE": str(folder / "endpoints.yaml")}
    settings = load(GatewaySettings, {**LINKS, **file, **environ})
    kept.table.replace(settings.read_endpoints(Sources()))
    async with Reloader(
        settings.read_endpoints, kept.table, kept.told, look_every_s=0.01
    ).running():
        yield kept


async def test_a_change_replaces_all_endpoints(tmp_path: Path) -> None:
    """New, changed and removed ones at once; the log names them."""
    async with reloading(tmp_path) as kept:
        kept.write("acme", "gamma", secret="two")

        assert await kept.next_line() == ("reloaded", ["acme", "beta", "gamma"])
        assert kept.accepts("acme", "two")
        assert not kept.accepts("acme", "one")
        assert not kept.accepts("beta", "one")
        assert kept.accepts("gamma", "two")


async def test_the_file_of_a_secret_counts_too(tmp_path: Path) -> None:
    """It may change, be gone and come back, without a change of the document."""
    async with reloading(tmp_path) as kept:
        (tmp_path / "secret").write_text("two\n")
        assert await kept.next_line() == ("reloaded", ["acme", "beta"])
        assert kept.accepts("acme", "two")

        (tmp_path / "secret").unlink()
        kind, problems = await kept.next_line()
        assert (kind, len(problems)) == ("rejected", 2)
        assert kept.accepts("acme", "two")

        (tmp_path / "secret").write_text("three\n")
        assert await kept.next_line() == ("reloaded", ["acme", "beta"])
        assert kept.accepts("acme", "three")


@pytest.mark.parametrize(
    ("names", "more", "problem"),
    [
        (("acme", "a b"), "", "a b: must match pattern"),
        (("acme",), ", stat: enabled", "acme.stat: there is no such field"),
        ((), "", "is required"),
        (("default",), "", "is for the endpoint default, which is declared too"),
    ],
)
async def test_a_mistake_leaves_every_endpoint_as_it_is(
    tmp_path: Path, names: tuple[str, ...], more: str, problem: str
) -> None:
    """Also what would open an endpoint to all. The next good file is in force again."""
    environ = {"RINGBACK_VAPI_SECRET": "s"} if names == ("default",) else {}
    async with reloading(tmp_path, **environ) as kept:
        before = kept.table.routes
        kept.write(*names, secret="two", more=more)

        kind, problems = await kept.next_line()
        assert kind == "rejected"
        assert problem in problems[0]
        assert kept.table.routes is before

        kept.write("acme", secret="three")
        assert (await kept.next_line())[0] == "reloaded"
        assert kept.accepts("acme", "three")


async def test_a_file_that_is_still_being_written_waits(tmp_path: Path) -> None:
    """Half a document may be a valid one, with endpoints missing."""
    async with reloading(tmp_path) as kept:
        with (tmp_path / "endpoints.yaml").open("w") as file:
            for number in range(50):
                file.write(
                    f"{'' if number else 'endpoints:'}\n  e{number}: {{org_id: {ORG}, secret: s}}"
                )
                file.flush()
                await asyncio.sleep(0.002)

        kind, changed = await kept.next_line()
        while "e49" not in changed:  # A slow machine may have paused in the middle.
            kind, changed = await kept.next_line()
        assert kind == "reloaded"
        assert not kept.accepts("acme", "one")
