"""Does what RUN and COPY of a stage say, in a folder instead of in an image."""

import shlex
import shutil
import subprocess  # ruff: ignore[suspicious-subprocess-import]  # that is what RUN is
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from deploy.docker.proof.context import copy_context, patterns
from deploy.docker.proof.stages import Stage

CHECKOUT = Path(__file__).parents[3]
DOCKERFILE = CHECKOUT / "deploy" / "docker" / "Dockerfile"


class StepError(Exception):
    """A step of the Dockerfile does not work; the text has its command and what it said."""


class Root(Protocol):
    """Where a stage is built."""

    def path(self, inside: str) -> Path:
        """Where a path of the image is on this machine."""

    def command(self, words: str, workdir: str) -> Sequence[str]:
        """What runs a line of shell as if the folder were the whole machine."""


@dataclass(slots=True, kw_only=True)
class Builder:
    """Builds stages into roots.

    `instead` may take a command over, as the test does that downloads nothing; it says if it did.
    """

    environ: Mapping[str, str]
    instead: Callable[[str], bool] = lambda _: False
    say: Callable[[str], None] = lambda _: None

    def build(self, stage: Stage, root: Root, roots: Mapping[str, Root]) -> None:
        """Do the steps of a stage in order. Raises StepError at the first that fails."""
        workdir = "/"
        for step in stage.steps:
            match step.instruction:
                case "WORKDIR":
                    workdir = step.value
                    root.path(workdir).mkdir(parents=True, exist_ok=True)
                case "RUN":
                    for command in step.value.split(" && "):
                        self._run(command, root, workdir)
                case "COPY":
                    self._copy(step.value, root, workdir, roots)

    def _run(self, command: str, root: Root, workdir: str) -> None:
        self.say(f"RUN {command}")
        if self.instead(command):
            return
        done = subprocess.run(
            list(root.command(command, workdir)),
            check=False,
            env=dict(self.environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode:
            raise StepError(f"{command}\nended with {done.returncode}:\n{done.stdout[-4000:]}")

    def _copy(self, value: str, root: Root, workdir: str, roots: Mapping[str, Root]) -> None:
        self.say(f"COPY {value}")
        words = shlex.split(value)
        flags = dict(word[2:].split("=") for word in words if word.startswith("--"))
        *sources, target = [word for word in words if not word.startswith("--")]
        to = root.path(str(Path(workdir) / target))
        for source in sources:
            if "from" in flags:
                _copy_tree(roots[flags["from"]].path(source), to, flags.get("chown"))
            else:
                ignored = patterns((CHECKOUT / ".dockerignore").read_text(encoding="utf-8"))
                copy_context(CHECKOUT, source, to, ignored)


def _copy_tree(source: Path, to: Path, owner: str | None) -> None:
    if source == to:
        return
    shutil.copytree(source, to, symlinks=True, dirs_exist_ok=True)
    if owner is not None:
        uid, gid = map(int, owner.split(":"))
        for path in (to, *to.rglob("*")):
            shutil.chown(path, uid, gid)
