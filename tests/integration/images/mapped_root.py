"""A folder in which the steps of the Dockerfile are done without root's rights."""

import asyncio
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.docker.proof.stages import Image
from deploy.docker.proof.started import Started

#: The folders that the Dockerfile makes; the rest of an absolute path is this machine's.
_MADE = re.compile(r"(?<![\w./-])/(?=(?:src|build|opt|wheels|state|var/lib/ringback)\b)")


@dataclass(frozen=True, slots=True)
class MappedRoot:
    """Absolute paths that the Dockerfile makes are below `folder`."""

    folder: Path

    def path(self, inside: str) -> Path:
        return Path(self.mapped(inside))

    def mapped(self, words: str) -> str:
        return _MADE.sub(f"{self.folder}/", words)

    def command(self, words: str, workdir: str) -> Sequence[str]:
        return ["sh", "-c", f"cd {self.mapped(workdir)} && {self.mapped(words)}"]

    def environ(self, image: Image) -> dict[str, str]:
        return {name: self.mapped(value) for name, value in image.env.items()}

    async def start(
        self, image: Image, words: Sequence[str], variables: Mapping[str, str]
    ) -> Started:
        """Run words as a container of the image would, but for what only root can do."""
        process = await asyncio.create_subprocess_exec(
            *map(self.mapped, words),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=self.path(image.workdir),
            env={**self.environ(image), **variables},
        )
        return Started(process)

    def borrow_dependencies(self, venv: str) -> None:
        """Let an environment see what the one that runs the tests has, but not the checkout.

        A path file within a folder that a path file names is not read.
        """
        (mine,) = (path for path in sys.path if path.endswith("site-packages"))
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        theirs = self.path(venv) / "lib" / version / "site-packages"
        (theirs / "borrowed.pth").write_text(f"{mine}\n", encoding="utf-8")
