"""What Ringback uses of its libraries beyond their public interfaces.

pyproject.toml has upper bounds for these libraries. `make test-newest` runs this file, and the
tests of the adapters' behaviour, with the newest versions.
"""

import inspect
from pathlib import Path
from types import ModuleType

from aiohttp import ClientResponse, web, web_protocol
from aiormq.channel import Channel
from asyncpg.connection import Connection
from asyncpg.pool import Pool, PoolConnectionHolder, PoolConnectionProxy

ROOT = Path(__file__).parents[2]

ADAPTERS: dict[str, dict[type | ModuleType, tuple[str, ...]]] = {
    "ringback/runtime/http/bounded_server.py": {
        web.RequestHandler: ("_messages", "_request_count"),
        web.Server: ("_kwargs",),
    },
    "ringback/services/gateway/http/connection.py": {
        web.RequestHandler: (
            *("_lingering_time", "_loop", "_make_error_handler", "_messages", "_parser"),
            *("_read_bufsize", "_reading_paused", "_request_count", "_task_handler", "_waiter"),
        ),
        web_protocol: ("MAX_MSG_QUEUE_SIZE", "_ErrInfo"),
    },
    "ringback/runtime/outgoing/session.py": {
        ClientResponse: ("_body",),
    },
    "ringback/runtime/amqp/frame_batch.py": {
        Channel: ("closing", "write_queue"),
    },
    "ringback/runtime/postgres/pool.py": {
        Pool: ("_acquire", "_holders"),
        PoolConnectionHolder: ("_con", "is_connected", "is_idle"),
    },
    "ringback/services/processor/attempt/transaction.py": {
        PoolConnectionProxy: ("_con", "_detach", "_holder"),
        PoolConnectionHolder: ("_proxy",),
        Connection: ("_reset", "_stmt_cache", "_top_xact"),
    },
}
"""The modules that use private names of a library, and which names of what."""

USED = [
    (module, owner, name)
    for module, owners in ADAPTERS.items()
    for owner, names in owners.items()
    for name in names
]


def test_the_library_has_the_private_name() -> None:
    """And the adapter uses it. If the library lost it, adapt the module before its upper bound."""
    for module, owner, name in USED:
        assert name in (ROOT / module).read_text(encoding="utf-8")
        assert hasattr(owner, name) or any(f"self.{name}" in code for code in _sources(owner)), name


def _sources(owner: type | ModuleType) -> list[str]:
    """The code of a class and its bases, where an attribute may be assigned in `__init__`."""
    classes = owner.__mro__[:-1] if isinstance(owner, type) else ()
    return [inspect.getsource(one) for one in classes if one.__module__ != "typing"]


def test_other_modules_use_no_private_names() -> None:
    """Ruff reports each use of a private name; only these modules may silence it."""
    silent = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "ringback").rglob("*.py")
        if "ignore[private-member-access]" in path.read_text(encoding="utf-8")
        or "ignore[import-private-name]" in path.read_text(encoding="utf-8")
    }

    # `sys._current_frames` is the documented way to see what other threads do.
    assert silent <= ADAPTERS.keys() | {"ringback/runtime/process/lifecycle.py"}
