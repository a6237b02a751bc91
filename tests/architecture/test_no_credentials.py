"""No file of the repository holds what looks like a credential."""

import os
import re
from pathlib import Path

from tests.architecture.source import ROOT

# In two parts each, or this file would be found.
_CREDENTIALS = [
    # One by one they are found by their first letters, which is quick.
    re.compile(pattern)
    for pattern in (
        rb"AKIA[0-9A-Z]{16}\b",
        rb"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\s+[A-Za-z0-9+/]{40}",
        rb"xox[abprs]-\d{8,}-[A-Za-z0-9-]{16,}",
        rb"hooks.slack.com/services/T[A-Z0-9]{8,}/B[A-Z0-9]{8,}/[A-Za-z0-9]{20,}",
        rb"gh[pousr]_[A-Za-z0-9]{36}",
        rb"sk_live_[A-Za-z0-9]{16,}",
        rb"eyJ[A-Za-z0-9_-]{15,}\.eyJ[A-Za-z0-9_-]{15,}\.[A-Za-z0-9_-]{20,}",
    )
]


def holds_a_credential(data: bytes) -> bool:
    return any(pattern.search(data) for pattern in _CREDENTIALS)


def test_no_file_holds_a_credential() -> None:
    """Keys, tokens and addresses that work somewhere are made when they are needed."""
    files = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name[0] != "." and name != "__pycache__"]
        files += [path for name in names if (path := Path(folder, name)).is_file()]

    found = [str(path.relative_to(ROOT)) for path in files if holds_a_credential(path.read_bytes())]

    assert len(files) > 500
    assert found == []
