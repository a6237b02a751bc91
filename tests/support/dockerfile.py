"""Reads the Dockerfile: its stages, and what a container of each target gets."""

import io
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from string import Template

from dockerfile_parse import DockerfileParser

from tests.architecture.source import ROOT

DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Step:
    instruction: str
    value: str


@dataclass(frozen=True, slots=True)
class Stage:
    """One FROM with what follows. `base` is the stage or the image that it begins with."""

    name: str
    base: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Image:
    """The configuration of a target's containers."""

    env: Mapping[str, str]
    labels: Mapping[str, str]
    user: str
    workdir: str
    entrypoint: Sequence[str]
    command: Sequence[str]
    health: Sequence[str]


def stages(dockerfile: str) -> dict[str, Stage]:
    """The stages by name, in the order of the file."""
    found: dict[str, Stage] = {}
    parser = DockerfileParser(fileobj=io.BytesIO(dockerfile.encode()), env_replace=False)
    for part in parser.structure:
        step = Step(part["instruction"], part["value"])
        if step.instruction == "FROM":
            base, _, name = step.value.split()
            found[name] = Stage(name, base, ())
        elif found and step.instruction != "COMMENT":
            last = found[next(reversed(found))]
            found[last.name] = Stage(last.name, last.base, (*last.steps, step))
    return found


def lineage(all_stages: Mapping[str, Stage], target: str) -> list[Stage]:
    """The target with the stages that it is built on, the first first."""
    stage = all_stages[target]
    below = lineage(all_stages, stage.base) if stage.base in all_stages else []
    return [*below, stage]


def image(all_stages: Mapping[str, Stage], target: str, path: str = DEFAULT_PATH) -> Image:
    """The configuration of the target's containers; `path` is the PATH of the base image."""
    config = _Config(env={"PATH": path})
    for stage in lineage(all_stages, target):
        for step in stage.steps:
            config.apply(step)
    return Image(
        env=config.env,
        labels=config.labels,
        user=config.last.get("USER", ""),
        workdir=config.last.get("WORKDIR", "/"),
        entrypoint=json.loads(config.last.get("ENTRYPOINT", "[]")),
        command=json.loads(config.last.get("CMD", "[]")),
        health=_health(config.last.get("HEALTHCHECK", "NONE")),
    )


@dataclass(slots=True)
class _Config:
    env: dict[str, str]
    labels: dict[str, str] = field(default_factory=dict)
    arguments: dict[str, str] = field(default_factory=dict)
    last: dict[str, str] = field(default_factory=dict)

    def apply(self, step: Step) -> None:
        match step.instruction:
            case "ENV":
                self.env |= self._pairs(step.value)
            case "LABEL":
                self.labels |= self._pairs(step.value)
            case "ARG":
                name, _, default = step.value.partition("=")
                self.arguments[name] = default
            case _:
                self.last[step.instruction] = step.value

    def _pairs(self, value: str) -> dict[str, str]:
        known = {**self.arguments, **self.env}
        words = (word.partition("=") for word in shlex.split(value))
        return {name: Template(text).safe_substitute(known) for name, _, text in words}


def _health(value: str) -> list[str]:
    if value == "NONE":
        return []
    _, _, command = value.partition("CMD ")
    words: list[str] = json.loads(command)
    return words
