from pathlib import Path

import pytest

from ringback.services.gateway.storage.spool.file import FILE_NAME


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a spool is."""
    return tmp_path / FILE_NAME
