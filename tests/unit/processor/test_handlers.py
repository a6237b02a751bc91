"""The modules of handlers are imported in order, and a type gets its own handlers."""

from pathlib import Path

import pytest

from ringback.handlers import Event, handles
from ringback.runtime.process.lifecycle import CannotStartError
from services.processor.attempt.handlers import HandlerSet, import_handlers

HEAD = "from ringback.handlers import handles\n"


@handles("a", "b")
async def of_two(_: Event) -> None:
    """Do nothing."""


@handles("*")
async def of_all(_: Event) -> None:
    """Do nothing."""


@handles("a", transaction=True)
async def in_transaction(_: Event, __: object) -> None:
    """Do nothing."""


async def undeclared(_: Event) -> None:
    """Do nothing."""


def no_update(_: Event) -> None:
    """Change nothing."""


def test_a_type_gets_its_handlers_in_the_order_of_their_declaration() -> None:
    """Plain and transactional handlers are separate; `*` matches every type."""
    handlers = HandlerSet([of_all, in_transaction, of_two], no_update)

    selection = handlers.for_type("a")

    assert selection.plain == (of_all, of_two)
    assert selection.transactional == (in_transaction,)
    assert selection.call_update_of is no_update
    assert handlers.for_type("c").plain == (of_all,)
    assert handlers.for_type("c").transactional == ()
    with pytest.raises(TypeError, match="not declared"):
        HandlerSet([undeclared])


def test_modules_are_imported_in_order_and_each_handler_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Imported handlers and objects that answer any question with an error do no harm."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "order_one.py").write_text(
        HEAD + "@handles('a')\nasync def second(e): ...\n@handles('a')\nasync def first(e): ...\n"
    )
    (tmp_path / "order_two.py").write_text(
        HEAD + "from order_one import first\n@handles('*')\nasync def third(e): ...\n"
        "class Proxy:\n    def __getattr__(self, name):\n        raise RuntimeError(name)\n"
        "request = Proxy()\n"
    )

    found = import_handlers(" order_one,, order_two ,")

    assert [handler.__name__ for handler in found] == ["second", "first", "third"]
    assert import_handlers("") == import_handlers(" , ") == []


@pytest.mark.parametrize(
    ("name", "source", "sentence"),
    [
        ("absent_module", None, "cannot be imported: ModuleNotFoundError: No module named"),
        ("broken_module", "1 / 0", "cannot be imported: ZeroDivisionError: division by zero"),
        ("leaving_module", "raise SystemExit('x')", "cannot be imported: SystemExit: x"),
        ("empty_module", "", r"has no function with @handles\(…\)."),
        ("sync_module", HEAD + "@handles('a')\ndef f(e): ...", "must be declared with async def"),
        ("bare_module", HEAD + "@handles\nasync def f(e): ...", "takes the event types"),
        ("typeless_module", HEAD + "@handles()\nasync def f(e): ...", "takes the event types"),
    ],
)
def test_a_module_that_cannot_be_used_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, source: str | None, sentence: str
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    if source is not None:
        (tmp_path / f"{name}.py").write_text(source)

    with pytest.raises(CannotStartError, match=sentence) as raised:
        import_handlers(name)

    assert str(raised.value).startswith(f"RINGBACK_HANDLERS names {name}, which ")
