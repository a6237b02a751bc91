"""compose.yaml is valid: by its schema, and by rules that no schema has."""

import re
import subprocess  # ruff: ignore[suspicious-subprocess-import]  # the schema's program
import sys
from pathlib import Path
from typing import Any

import pytest

import ringback
from ringback.local.ports import ServicePorts
from ringback.local.stack_service import service_specs
from ringback.runtime.process.settings import load
from tests.architecture.config_example import SERVICES
from tests.support.compose import COMPOSE, FOLDER, compose, variables
from tests.support.dockerfile import DOCKERFILE, image, stages

DOCUMENT = compose()
BESIDE = compose(FOLDER / "compose.observability.yaml")
PARTS: dict[str, dict[str, Any]] = DOCUMENT["services"]
OURS = {name: part for name, part in PARTS.items() if part["image"].startswith("ringback")}
STAGES = stages(DOCKERFILE.read_text(encoding="utf-8"))


def schema_finds(path: Path) -> str:
    """What is wrong by the schema of the Compose Specification; empty for nothing."""
    program = Path(sys.executable).with_name("check-jsonschema")
    command = [str(program), "--builtin-schema", "vendor.compose-spec", str(path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return done.stdout if done.returncode else ""


@pytest.mark.parametrize("name", ["compose.yaml", "compose.observability.yaml"])
def test_it_is_a_valid_compose_file(name: str) -> None:
    assert not schema_finds(FOLDER / name)


def test_the_schema_finds_errors(tmp_path: Path) -> None:
    text = COMPOSE.read_text(encoding="utf-8")
    broken = tmp_path / "compose.yaml"
    broken.write_text(text.replace("cap_drop: [ALL]", "cap_drop: ALL"), encoding="utf-8")

    assert schema_finds(broken)


def test_it_starts_without_settings() -> None:
    """Each variable has a default, the same one everywhere."""
    text = COMPOSE.read_text(encoding="utf-8")
    defaults: dict[str, set[str]] = {}
    for name, default in variables():
        defaults.setdefault(name, set()).add(default)

    assert len(re.findall(r"\$\{", text)) == len(list(variables()))
    assert {name: found for name, found in defaults.items() if len(found) > 1} == {}


def test_images_are_pinned() -> None:
    """Ours by the current version, the others by three numbers, or two for a database."""
    for name, part in PARTS.items():
        wanted = r"[\w/-]+:v?\d+\.\d+\.\d+(-management)?|postgres:\d+\.\d+"
        assert re.fullmatch(wanted, part["image"]), name
    assert {part["image"].partition(":")[2] for part in OURS.values()} == {ringback.__version__}
    assert PARTS["own-secrets"]["build"]["args"]["VERSION"] == ringback.__version__


def test_both_compose_files_have_the_same_versions() -> None:
    for name, part in BESIDE["services"].items():
        assert part["image"] == PARTS[name]["image"]


def test_our_images_are_built_and_never_pulled() -> None:
    """An image that somebody else pushed under such a name is not started."""
    built = {part["image"]: part["build"] for part in OURS.values() if "build" in part}

    assert {part["image"] for part in OURS.values()} == set(built)
    for found, build in built.items():
        name = found.partition(":")[0]
        assert build["target"] == name.removeprefix("ringback-")
        assert image(STAGES, build["target"]).labels["org.opencontainers.image.title"] == name
        assert (COMPOSE.parent / build["context"] / build["dockerfile"]).resolve() == DOCKERFILE
    assert {part["pull_policy"] for part in OURS.values()} == {"never"}


def test_mounted_files_exist() -> None:
    """A missing path would become an empty folder."""
    for name, part in [*PARTS.items(), *BESIDE["services"].items()]:
        for mount in part.get("volumes", ()):
            source, target, *_ = mount.split(":")
            assert target.startswith("/"), (name, mount)
            if source.startswith("."):
                assert (FOLDER / source).exists(), (name, mount)
                assert mount.endswith(":ro"), (name, mount)
            else:
                assert source in {*DOCUMENT["volumes"], *BESIDE["volumes"]}, (name, mount)


def test_every_awaited_condition_can_be_met() -> None:
    """A service that others wait for has a health check; a job that others wait for ends."""
    for part in PARTS.values():
        for other, how in part.get("depends_on", {}).items():
            waits_for = PARTS[other]
            match how["condition"]:
                case "service_healthy":
                    assert waits_for["healthcheck"]["test"][0] == "CMD", other
                case "service_completed_successfully":
                    assert waits_for["restart"] == "no", other
                case _:
                    assert waits_for["restart"] == "unless-stopped", other


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_gets_valid_settings(service: str) -> None:
    kind = SERVICES[service]
    environ = PARTS[service]["environment"]
    read = {f"RINGBACK_{name}".upper() for name in kind.model_fields}

    assert {name for name in environ if name.startswith("RINGBACK_")} <= read
    load(kind, environ)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_time_to_stop(service: str) -> None:
    """As long as the local stack gives it; otherwise it is killed with work in flight."""
    (spec,) = (one for one in service_specs(ServicePorts()) if one.name == service)

    assert int(PARTS[service]["stop_grace_period"].removesuffix("s")) >= spec.stop_within_s


@pytest.mark.parametrize("service", SERVICES)
def test_its_health_check_is_its_readiness(service: str) -> None:
    """Other services wait for readiness; the image's own check is only liveness."""
    assert PARTS[service]["healthcheck"]["test"] == [
        "CMD",
        *image(STAGES, service).health,
        "--ready",
    ]


def test_some_service_waits_for_every_job() -> None:
    """With `up --wait`, a job that ended counts as a failure unless a service waits for it."""
    jobs = {name for name, part in PARTS.items() if part["restart"] == "no"}
    ends = {
        other
        for part in PARTS.values()
        for other, how in part.get("depends_on", {}).items()
        if how["condition"] == "service_completed_successfully"
    }

    assert jobs - {"ringback"} == ends
    assert PARTS["ringback"]["profiles"] == ["command"]
