"""Chooses the user that runs private nodes: the current user, or an unprivileged one for root."""

import hashlib
import os
import pwd
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from ringback.local.child import LocalStackError, run_command

# The packages create the first two. `nobody` is the last choice, because other programs use it too.
NAMES = ("rabbitmq", "postgres", "nobody")


@dataclass(frozen=True, slots=True)
class Account:
    """Without a `name` it is the current user."""

    name: str = ""
    uid: int = -1
    gid: int = -1
    has_access_of_root: bool = False
    """It may read and write every file, because otherwise it could not enter its folders."""

    @property
    def remark(self) -> str:
        """A note about the user, for the end of a line."""
        if not self.name:
            return ""
        access = ", with root's access to files, because it cannot enter this folder"
        return f" as user {self.name}{access if self.has_access_of_root else ''}"

    def command_prefix(self) -> list[str]:
        """The command prefix that runs a command as this user."""
        if not self.name:
            return []
        # With the capability it can use programs and data below /root, whose permissions stay as
        # they are. It is still not root, which PostgreSQL refuses. PostgreSQL looks for its
        # programs by access(2), which respects the capability because of the secure bit.
        access = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
        access.append("--securebits=+no_setuid_fixup")
        return [
            *["setpriv", f"--reuid={self.uid}", f"--regid={self.gid}", "--clear-groups"],
            *(access if self.has_access_of_root else []),
            "--",
        ]

    def admit(self, path: Path) -> None:
        """Let only us and this user enter the folder, or read the file."""
        mode = 0o700 if path.is_dir() else 0o600
        if self.name:
            os.chown(path, -1, self.gid)
            mode = 0o710 if path.is_dir() else 0o640
        path.chmod(mode)

    def take(self, folder: Path) -> None:
        """Create `folder` for this user only, and change the owner of its contents."""
        folder.mkdir(mode=0o700, exist_ok=True)
        if self.name and folder.stat().st_uid != self.uid:
            for _, folders, files, opened in os.fwalk(folder):
                for name in (*folders, *files):
                    os.chown(name, self.uid, self.gid, dir_fd=opened, follow_symlinks=False)
            # At the end, so that an interrupted walk is repeated.
            os.chown(folder, self.uid, self.gid, follow_symlinks=False)
        folder.chmod(0o700)


def account_in(folder: Path, program: str = "/bin/true") -> Account:
    """Create the private `folder` of a node, and choose the user that runs `program` in it."""
    account = _unprivileged()
    if os.geteuid() == 0 and not (account.name and shutil.which("setpriv")):
        raise LocalStackError(
            "Broker and database do not run as root, and the program setpriv or each of the users "
            f"{', '.join(NAMES)} is missing; run this as another user, or set RINGBACK_AMQP_URL "
            "and RINGBACK_DATABASE_URL."
        )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    account.admit(folder)
    tried = ["sh", "-c", 'cd "$1" && exec "$2" --version', "sh", str(folder), program]
    if run_command([*account.command_prefix(), *tried], within_s=30).exit_code == 0:
        return account
    return replace(account, has_access_of_root=bool(account.name))


def make_private(folder: Path) -> None:
    """Create `folder` for this user only; LocalStackError if it belongs to another user."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.geteuid():
        raise LocalStackError(f"The folder {folder} belongs to another user.")
    _unprivileged().admit(folder)


def elsewhere(folder: Path) -> Path:
    """A private folder with a short and plain path, for use in place of `folder`."""
    mark = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    return Path(tempfile.gettempdir(), f"ringback-{os.geteuid()}-{mark}")


def make_elsewhere(folder: Path, account: Account) -> Path:
    """Create the folder of `elsewhere`; LocalStackError if it belongs to another user."""
    made = elsewhere(folder)
    made.mkdir(mode=0o700, exist_ok=True)
    if made.is_symlink() or made.stat().st_uid not in {os.geteuid(), account.uid}:
        raise LocalStackError(f"The folder {made} belongs to another user.")
    return made


def _unprivileged() -> Account:
    """The current user, or for root the first of `NAMES` that exists."""
    for name in NAMES if os.geteuid() == 0 else ():
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, found.pw_uid, found.pw_gid)
    return Account()
