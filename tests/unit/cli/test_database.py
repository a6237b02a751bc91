import pytest

from ringback.cli.client.database import database
from ringback.cli.terminal import CommandError


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("postgresql://me:geheim@127.0.0.1:1/shop", "at 127.0.0.1:1/shop cannot"),
        ("postgresql://me@/shop?host=%2Fno%20where&port=7432", "at /no where:7432/shop cannot"),
    ],
)
async def test_a_database_that_is_away_is_named(url: str, named: str) -> None:
    """Over TCP or a unix socket, and never with the password."""
    with pytest.raises(CommandError, match=named) as raised:
        async with database(url):
            pass

    assert "geheim" not in str(raised.value)
