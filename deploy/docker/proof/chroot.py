"""A folder that is a whole Debian, and processes in it that are confined like a container's."""

import asyncio
import os
import shutil
import signal
import subprocess  # ruff: ignore[suspicious-subprocess-import]  # it makes Debians and containers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.docker.proof.stages import Image
from deploy.docker.proof.started import Started

PACKAGES = ("python3", "python3-venv", "python3-pip", "ca-certificates")
WRITABLE = "/var/lib/ringback"

# As PID 1 of its own namespace, on a root that cannot be written to but for the state's folder,
# without root's rights and without a way back to them. What comes last is the image's own words.
_CONFINE = """\
set -eu
root=$1 user=$2 workdir=$3; shift 3
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --bind "$root$workdir" "$root$workdir"
mount -o remount,bind,rw "$root$workdir"
exec chroot --userspec="$user" --groups="${user#*:}" "$root" \
    /usr/bin/env --chdir="$workdir" /usr/bin/setpriv --no-new-privs "$@"
"""


def debian(folder: Path, suite: str, mirror: str | None) -> None:
    """Make a Debian with a `python` in `folder`, as debootstrap does, unless it is there."""
    if (folder / "usr/local/bin/python").is_symlink():
        return
    include = f"--include={','.join(PACKAGES)}"
    mirrors = [mirror] if mirror else []
    subprocess.run(
        ["debootstrap", "--variant=minbase", include, suite, str(folder), *mirrors], check=True
    )
    # The official image of Python calls it so.
    (folder / "usr/local/bin/python").symlink_to("/usr/bin/python3")


@dataclass(frozen=True, slots=True)
class ChrootRoot:
    folder: Path

    def path(self, inside: str) -> Path:
        return self.folder / inside.lstrip("/")

    def command(self, words: str, workdir: str) -> Sequence[str]:
        return ["chroot", str(self.folder), "/bin/sh", "-c", f"cd {workdir} && {words}"]

    def copy_of(self, base: Path) -> None:
        """Begin with what is in `base`, as FROM does."""
        shutil.rmtree(self.folder, ignore_errors=True)
        subprocess.run(["cp", "-a", "--reflink=auto", str(base), str(self.folder)], check=True)

    async def start(
        self, image: Image, words: Sequence[str], variables: Mapping[str, str]
    ) -> "Confined":
        """Run words as a container of the image would, on this machine's network."""
        confine = ["/bin/sh", "-c", _CONFINE, "confine", str(self.folder), image.user, WRITABLE]
        process = await asyncio.create_subprocess_exec(
            *["unshare", "--mount", "--pid", "--fork", "--kill-child=SIGKILL"],
            *[*confine, *words],
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**image.env, **variables},
        )
        return Confined(process)


class Confined(Started):
    """The process is `unshare`; its one child is PID 1 in its namespace."""

    __slots__ = ()

    def tell(self, number: signal.Signals) -> None:
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8")
        (inside,) = children.split()
        os.kill(int(inside), number)
