"""No start-up error of a process shows a secret of its settings."""

import asyncio
import os
import re
import sys

import pytest

from ringback.runtime.process.settings import Settings
from tests.acceptance.whole import ROOT

pytestmark = pytest.mark.slow

CANARY = "canary-7f3a9c51-and-32-bytes-of-it"
NOBODY = f"ringback:{CANARY}@127.0.0.1:1"
GOOD = {
    "RINGBACK_AMQP_URL": f"amqp://{NOBODY}/",
    "RINGBACK_DATABASE_URL": f"postgresql://{NOBODY}/none",
    "RINGBACK_VAPI_SECRET": CANARY,
    "RINGBACK_JWT_SECRET": CANARY,
}
_MOST_S = 4.0
_FIRST_WORD_WITHIN_S = 300.0
PROGRAMS = {
    "gateway": ("ringback.services.gateway",),
    "processor": ("ringback.services.processor",),
    "metrics": ("ringback.services.metrics",),
    "migrate": ("ringback.cli", "migrate"),
    "topology": ("ringback.cli", "topology", "check"),
    "dead list": ("ringback.cli", "dead", "list"),
}
BAD = {
    "another scheme": {
        "RINGBACK_AMQP_URL": f"http://{NOBODY}",
        "RINGBACK_DATABASE_URL": f"mysql://{NOBODY}/none",
    },
    "no port": {
        "RINGBACK_AMQP_URL": f"amqp://ringback:{CANARY}@[::/",
        "RINGBACK_DATABASE_URL": f"postgresql://ringback:{CANARY}#@h:x/none",
    },
    "bad option": {"RINGBACK_DATABASE_URL": f"postgresql://{NOBODY}/none?sslmode={CANARY}"},
    "bad endpoints": {"RINGBACK_ENDPOINTS": f'{{"a": {{"org_id": "{CANARY}", "secret": "'},
    "bad slack": {
        "RINGBACK_SLACK_WEBHOOK_URL": f"https://[{CANARY}",
        "RINGBACK_SLACK_BOT_TOKEN": f"{CANARY}\n",
    },
    "bad token": {"RINGBACK_TOKEN": f"{CANARY}\n\n\u00e9", "RINGBACK_METRICS_URL": "127.0.0.1:1"},
    "nobody there": {},
}


async def output_of(program: tuple[str, ...], settings: dict[str, str]) -> str:
    """What a process prints until it ends, or for some seconds from its first word."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RINGBACK_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *program,
        env=clean | {"RINGBACK_LOG_LEVEL": "debug"} | settings, cwd=ROOT,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdout is not None
    async with asyncio.timeout(_FIRST_WORD_WITHIN_S):
        first = await process.stdout.read(1)
    asyncio.get_running_loop().call_later(_MOST_S, _end, process)
    printed, _ = await process.communicate()
    return (first + printed).decode()


def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()


@pytest.mark.parametrize("bad", BAD)
async def test_no_start_shows_a_secret(bad: str) -> None:
    """For all programs, with invalid settings and with unavailable servers."""
    settings = GOOD | BAD[bad]

    outputs = await asyncio.gather(*(output_of(program, settings) for program in PROGRAMS.values()))

    assert [name for name, text in zip(PROGRAMS, outputs, strict=True) if "canary" in text] == []
    assert all(outputs)


def kinds_of(kind: type[Settings]) -> set[type[Settings]]:
    """All settings that derive from these."""
    return {kind}.union(*(kinds_of(one) for one in kind.__subclasses__()))


def test_every_setting_that_may_hold_a_secret_hides_itself() -> None:
    """By its name: what is added later as a plain text is found here."""
    secret = re.compile(r"secret|token|password|(amqp|database|management|webhook)_url|endpoints$")

    plain = {
        f"{kind.__name__}.{name}"
        for kind in kinds_of(Settings)
        for name, field in kind.model_fields.items()
        if secret.search(name) and "SecretStr" not in str(field.annotation)
    }

    assert plain == set()
