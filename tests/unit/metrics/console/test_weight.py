"""The console stays small."""

from pathlib import Path

import ringback.services.metrics.console

FOLDER = Path(ringback.services.metrics.console.__path__[0])


def test_what_is_made_for_browsers_is_small() -> None:
    """Scripts, styles and templates. What repeats in them belongs into a macro."""
    files = list(FOLDER.glob("static/*"))
    scripts = [file for file in files if file.suffix == ".js"]

    assert 0 < sum(file.stat().st_size for file in scripts) < 15_000
    files += FOLDER.glob("templates/*")
    assert sum(file.stat().st_size for file in files) < 60_000
