"""No file of the repository holds what looks like a credential."""

import re

from tests.architecture.source import ROOT

# In two parts each, or this file would be found.
_CREDENTIAL = re.compile(
    r"AKIA[0-9A-Z]{16}\b"
    r"|-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\s+[A-Za-z0-9+/]{40}"
    r"|xox[abprs]-\d{8,}-[A-Za-z0-9-]{16,}"
    r"|hooks.slack.com/services/T[A-Z0-9]{8,}/B[A-Z0-9]{8,}/[A-Za-z0-9]{20,}"
    r"|gh[pousr]_[A-Za-z0-9]{36}"
    r"|sk_live_[A-Za-z0-9]{16,}"
    r"|eyJ[A-Za-z0-9_-]{15,}\.eyJ[A-Za-z0-9_-]{15,}\.[A-Za-z0-9_-]{20,}"
)  # fmt: skip

#: Caches, and what a test beside this one may be writing.
_NOT_OURS = re.compile(r"(?:^|/)(?:\.[^/]+|__pycache__)/")


def test_no_file_holds_a_credential() -> None:
    """Keys, tokens and addresses that work somewhere are made when they are needed."""
    files = [
        path
        for path in ROOT.rglob("*")
        if not _NOT_OURS.search(path.relative_to(ROOT).as_posix()) and path.is_file()
    ]

    found = [
        str(path.relative_to(ROOT))
        for path in files
        if _CREDENTIAL.search(path.read_bytes().decode(errors="replace"))
    ]

    assert len(files) > 500
    assert found == []


def test_a_credential_would_be_found() -> None:
    """The pattern knows the kinds that are known to leak."""
    assert _CREDENTIAL.search("key = AKIA" + "Z" * 16)
    assert _CREDENTIAL.search("-----BEGIN RSA PRIVATE " + "KEY-----\n" + "A" * 64)
    assert _CREDENTIAL.search("gh" + "p_" + "a" * 36)
