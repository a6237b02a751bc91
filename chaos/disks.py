"""The disks of the gateway's spool and of the broker, small enough to be filled."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from ringback.local.child import run_command

_SIZE = "64m"
_BROKER_BYTES = 1024 * 1024 * 1024
"""What the broker needs, and the free space that its alarm requires."""

_MOUNT_S = 10.0
_CHUNK = b"\0" * 65_536
_FILLER = "filler"
_BOUND_BYTES = 32 * 1024 * 1024


def spool_settings(disk: "SpoolDisk") -> Mapping[str, str]:
    """Give the settings of a gateway for this disk: all of it, or else a bound within reach."""
    if disk.is_own:
        return {"RINGBACK_SPOOL_FREE_BYTES": "0"}
    return {"RINGBACK_SPOOL_BYTES": str(_BOUND_BYTES)}


class _Disk:
    """Inside this context `folder` is its own file system, if this user may mount one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.is_own = False

    def fill(self) -> None:
        """Leave no room. Only on its own file system."""
        assert self.is_own, "nobody else's disk is filled"
        handle = os.open(self.folder / _FILLER, os.O_CREAT | os.O_WRONLY)
        try:
            self._fill(handle)
        finally:
            os.close(handle)

    def make_room(self) -> None:
        (self.folder / _FILLER).unlink(missing_ok=True)

    def _fill(self, handle: int) -> None:
        """Let the open file take all room."""
        raise NotImplementedError

    async def _mount(self) -> bool:
        """Mount a file system on `folder`; False if that is impossible."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            self.is_own = await self._mount()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.is_own:
            await _run("umount", "--lazy", str(self.folder))


class SpoolDisk(_Disk):
    """A file system in memory: it shows the effects of a full disk, not the speed of a disk."""

    def _fill(self, handle: int) -> None:
        part = len(_CHUNK)
        while part:
            try:
                os.write(handle, _CHUNK[:part])
            except OSError:
                part //= 2

    async def _mount(self) -> bool:
        return await _run("mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(self.folder))


class BrokerDisk(_Disk):
    """A file system in a sparse file. Filling one in memory would use as much memory."""

    def __init__(self, folder: Path, image: Path) -> None:
        super().__init__(folder)
        self._image = image

    def _fill(self, handle: int) -> None:
        part, size = _BROKER_BYTES, 0
        while part >= os.fstatvfs(handle).f_frsize:
            try:
                os.posix_fallocate(handle, size, part)
                size += part
            except OSError:
                part //= 2

    async def _mount(self) -> bool:
        image = str(self._image)
        self._image.touch()
        os.truncate(self._image, _BROKER_BYTES)
        return await _run("mkfs.ext4", "-q", "-m", "0", image) and await _run(
            "mount", "-o", "loop", image, str(self.folder)
        )


async def _run(*command: str) -> bool:
    done = await asyncio.to_thread(run_command, command, within_s=_MOUNT_S)
    return done.exit_code == 0
