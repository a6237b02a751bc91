from pathlib import Path

import pytest

from ringback.local.child import LocalStackError
from ringback.local.jwt_secret import has_key, local_secret, read_local_secret


def test_a_secret_is_made_once_and_is_its_owners(tmp_path: Path) -> None:
    """Nobody else on the machine may read it, and another stack has another one."""
    here, elsewhere = tmp_path / "one", tmp_path / "two"
    here.mkdir()
    elsewhere.mkdir()
    none_yet = read_local_secret(here)

    first, second = local_secret(here), local_secret(here)

    file = here / "jwt.secret"
    assert none_yet is None
    assert first == second == read_local_secret(here) != local_secret(elsewhere)
    assert len(first.encode()) >= 32
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(here.iterdir()) == [file]


def test_a_file_without_a_secret_is_named(tmp_path: Path) -> None:
    """It is never used as it is, and never overwritten in silence."""
    (tmp_path / "jwt.secret").write_text("short\n")

    with pytest.raises(LocalStackError, match="does not contain a secret"):
        local_secret(tmp_path)


@pytest.mark.parametrize("name", ["SECRET", "PUBLIC_KEY_FILE", "JWKS_FILE"])
def test_a_key_in_the_environment_comes_first(name: str) -> None:
    """Any of the three settings is one; an empty variable is as good as none."""
    variable = f"RINGBACK_JWT_{name}"

    assert has_key({variable: "something"})
    assert not has_key({variable: " "})
