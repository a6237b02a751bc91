"""Check everything that a release needs before its tag: `make release`.

It prints a line for each check, and ends with status 1 if one fails. The wheel and the sdist are
then in dist/.
"""

import re
import shutil
import subprocess  # ruff: ignore[suspicious-subprocess-import]  # git, make, buf and hatchling are programs
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from packaging.metadata import InvalidMetadata, Metadata

import ringback

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"

_VERSIONED = (
    "deploy/docker/Dockerfile",
    "deploy/docker/compose.yaml",
    "deploy/k8s/base/kustomization.yaml",
    "docs/how-to/install-on-a-cluster.md",
    "docs/how-to/run-with-compose.md",
)
"""The files that name the version; `ringback.__version__` is its source."""

_OUR_VERSION = re.compile(
    r"(?:\bringback(?:-\w+)?:|(?:newTag|VERSION|kubernetes\.io/version): [\"']?)(\d+\.\d+\.\d+\w*)"
)
_SECTION = re.compile(r"^## \[([^]]+)\](?: - (\S+))?\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_DATE = re.compile(r"\d{4}-\d\d-\d\d")


def changelog_problems(changelog: str, version: str) -> Iterator[str]:
    """What is missing in the changelog for a release of this version."""
    sections = {name: (date, text) for name, date, text in _SECTION.findall(changelog)}
    _, unreleased = sections.get("Unreleased", ("", ""))
    if unreleased.strip():
        yield f"CHANGELOG.md has changes under [Unreleased]. Move them to [{version}]."
    if version not in sections:
        yield f"CHANGELOG.md has no section [{version}]. Write one: what changes for its users."
        return
    date, text = sections[version]
    if not _DATE.fullmatch(date):
        yield f"Section [{version}] of CHANGELOG.md has no date. Write `[{version}] - YYYY-MM-DD`."
    if not text.strip():
        yield f"Section [{version}] of CHANGELOG.md is empty. Write what changes for its users."


def version_problems(texts: Mapping[str, str], version: str) -> Iterator[str]:
    """The files, by name, that name another version of Ringback, or none."""
    for name, text in texts.items():
        found = set(_OUR_VERSION.findall(text))
        if not found:
            yield f"{name} names no version of Ringback. Remove it from deploy/release.py."
        for other in sorted(found - {version}):
            yield f"{name} names {other}, but ringback/__init__.py says {version}."


def versioned_texts() -> dict[str, str]:
    return {name: (ROOT / name).read_text(encoding="utf-8") for name in _VERSIONED}


def _changelog(version: str) -> Iterator[str]:
    yield from changelog_problems((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), version)


def _versions(version: str) -> Iterator[str]:
    yield from version_problems(versioned_texts(), version)


def _tree(version: str) -> Iterator[str]:
    if _run("git", "status", "--porcelain").stdout:
        yield "Files differ from the commit. Commit them or remove them."
    tagged = _run("git", "rev-list", "-n", "1", f"tags/v{version}").stdout
    if tagged and tagged != _run("git", "rev-parse", "HEAD").stdout:
        yield f"The tag v{version} is at another commit. Raise the version in ringback/__init__.py."
    for tag in _run("git", "tag", "--points-at", "HEAD", "--list", "v[0-9]*").stdout.split():
        if tag != f"v{version}":
            yield f"This commit has the tag {tag}, but ringback/__init__.py says {version}."


def _generated(_: str) -> Iterator[str]:
    made = _run("make", "generate")
    if made.returncode:
        yield f"`make generate` failed: {_end(made)}"
    # A new file counts, too. Each line is a status of two letters, and the path.
    changed = [line[3:] for line in _run("git", "status", "--porcelain").stdout.splitlines()]
    if changed:
        yield f"`make generate` changed {', '.join(changed)}. Commit that."


def _contract(version: str) -> Iterator[str]:
    releases = ("--match", "v[0-9]*", "--exclude", f"v{version}")
    last = _run("git", "describe", "--tags", "--abbrev=0", *releases).stdout.strip()
    if not last:
        print("        There is no earlier release to compare the contract with.")
        return
    buf = Path(sys.executable).with_name("buf")
    found = _run(buf, "breaking", "protos", "--against", f".git#tag={last},subdir=protos")
    if found.returncode:
        yield f"The contract breaks callers of {last}: {_end(found)}"


def _packages(version: str) -> Iterator[str]:
    shutil.rmtree(DIST, ignore_errors=True)
    made = _run(sys.executable, "-m", "hatchling", "build", "-d", DIST)
    if made.returncode:
        yield f"The wheel and the sdist cannot be built: {_end(made)}"
        return
    wheel = zipfile.ZipFile(DIST / f"ringback-{version}-py3-none-any.whl")
    try:
        Metadata.from_email(wheel.read(f"ringback-{version}.dist-info/METADATA"))
    except (ExceptionGroup, InvalidMetadata) as exc:
        yield f"An index would refuse the wheel's metadata: {exc}"


def _run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=ROOT, check=False, capture_output=True, text=True)


def _end(done: subprocess.CompletedProcess[str]) -> str:
    return "\n".join((done.stdout + done.stderr).strip().splitlines()[-5:])


_CHECKS: Mapping[str, Callable[[str], Iterator[str]]] = {
    "the commit is clean, and its tag is free": _tree,
    "the changelog has the version's section": _changelog,
    "every file names the same version": _versions,
    "generated files are up to date": _generated,
    "the contract breaks no caller": _contract,
    "wheel and sdist are built, with valid metadata": _packages,
}


def main(version: str = ringback.__version__) -> int:
    failed = False
    for name, check in _CHECKS.items():
        problems = list(check(version))
        print(f"{'MISSING' if problems else 'ok':<8}{name}")
        for problem in problems:
            print(f"        {problem}")
        failed = failed or bool(problems)
    if failed:
        return 1
    print(f"\nReady. Tag it: git tag -a v{version} -m 'Ringback {version}'")
    return 0


if __name__ == "__main__":
    sys.exit(main())
