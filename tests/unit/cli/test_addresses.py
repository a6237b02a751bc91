"""Which broker and database a command uses."""

from pathlib import Path

import pytest

from ringback.cli.client.addresses import Addresses
from ringback.runtime.process.settings import SettingsError

URL = "amqp://user:geheim@far/vhost"


def test_a_broker_in_a_file_replaces_that_of_the_local_stack(tmp_path: Path) -> None:
    """Also its management API, which would describe another broker."""
    path = tmp_path / "url"
    path.write_text(f"{URL}\n", encoding="utf-8")

    local = Addresses.from_env({}, tmp_path)
    found = Addresses.from_env({"RINGBACK_AMQP_URL_FILE": str(path)}, tmp_path)

    assert (found.amqp, found.management) == (URL, None)
    assert (found.database, local.management is None) == (local.database, False)
    with pytest.raises(SettingsError, match="RINGBACK_AMQP_URL_FILE: set this or"):
        Addresses.from_env({"RINGBACK_AMQP_URL_FILE": str(path), "RINGBACK_AMQP_URL": URL})
