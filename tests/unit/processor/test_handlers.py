"""The modules of handlers are imported in order, and a type gets its own handlers."""

from pathlib import Path

import pytest

from ringback.handlers import Event, handles
from ringback.services.processor.attempt.handlers import (
    HandlersError,
    HandlerSet,
    LoadedHandlers,
    load_handlers,
)

HEAD = "from ringback.handlers import handles\n"


@handles("a", "b")
async def of_two(_: Event) -> None:
    """Do nothing."""


@handles("*")
async def of_all(_: Event) -> None:
    """Do nothing."""


@handles("o", ordered_by="call_id")
async def ordered(_: Event) -> None:
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


def test_a_type_is_ordered_if_one_of_its_handlers_is() -> None:
    """The types of other handlers are not: their webhooks take no turns."""
    handlers = HandlerSet([of_all, ordered])

    assert handlers.for_type("o").is_ordered
    assert not handlers.for_type("a").is_ordered
    with pytest.raises(ValueError, match="not 'org_id'"):
        handles("a", ordered_by="org_id")  # type: ignore[arg-type]


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

    found = load_handlers(" order_one,, order_two ,")

    assert [handler.__name__ for handler in found.handlers] == ["second", "first", "third"]
    assert load_handlers("") == load_handlers(" , ") == LoadedHandlers()


def test_hooks_are_found_in_order_also_in_a_module_without_handlers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "pools.py").write_text(
        "from ringback.handlers import on_start, on_stop\n"
        "@on_start\ndef opened(): ...\n@on_stop\nasync def closed(): ...\n"
    )
    (tmp_path / "of_pools.py").write_text(
        HEAD + "from pools import opened\n@handles('a')\nasync def handler(e): ...\n"
        "from ringback.handlers import on_start\n@on_start\ndef after(*, retries=3): ...\n"
    )

    found = load_handlers("pools,of_pools")

    assert [hook.__name__ for hook in found.on_start] == ["opened", "after"]
    assert [hook.__name__ for hook in found.on_stop] == ["closed"]


def test_types_that_vapi_does_not_document_are_named_with_the_nearest_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "typed.py").write_text(
        HEAD + "@handles('end-of-call-rapport', 'hang', '*')\n"
        "async def one(e): ...\n"
        "@handles('transcript[transcriptType=\"final\"]')\nasync def final(e): ...\n"
        "@handles('crm.merged', 'ringback.demo')\nasync def two(e): ...\n"
    )

    assert load_handlers("typed").unknown_types() == [
        (
            "typed.one handles end-of-call-rapport, which is not a type that Vapi documents. "
            "Did you mean end-of-call-report?"
        ),
        "typed.two handles crm.merged, which is not a type that Vapi documents.",
    ]


def test_overlaps_are_told_in_the_order_in_which_handlers_run() -> None:
    """Plain handlers run first; one that takes all types overlaps with each type that is named."""
    loaded = LoadedHandlers(handlers=(in_transaction, of_two, of_all))
    here = __name__

    assert loaded.overlaps() == [
        (
            f"a runs {here}.of_two, then {here}.of_all, then {here}.in_transaction; "
            "an error of one ends the attempt."
        ),
        f"b runs {here}.of_two, then {here}.of_all; an error of one ends the attempt.",
    ]


@pytest.mark.parametrize(
    ("name", "source", "sentence"),
    [
        ("absent_module", None, "cannot be imported: ModuleNotFoundError: No module named"),
        ("broken_module", "1 / 0", "cannot be imported: ZeroDivisionError: division by zero"),
        ("leaving_module", "raise SystemExit('x')", "cannot be imported: SystemExit: x"),
        ("empty_module", "", r"has no function with @handles\(…\), @on_start"),
        ("sync_module", HEAD + "@handles('a')\ndef f(e): ...", "must be declared with async def"),
        ("twice", HEAD + "@handles('a')\n@handles('b')\nasync def f(e): ...", "in one @handles"),
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

    with pytest.raises(HandlersError, match=sentence) as raised:
        load_handlers(name)

    assert str(raised.value).startswith(f"RINGBACK_HANDLERS names {name}, which ")


def test_all_mistakes_are_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function that cannot be called as declared is named with what it is called with."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "misdeclared.py").write_text(
        HEAD + "from ringback.handlers import on_stop\n"
        "@handles('a')\nasync def lacks(): ...\n"
        "@handles('a')\nasync def wants_more(event, connection): ...\n"
        "@handles('a', transaction=True)\nasync def lacks_connection(event): ...\n"
        "@handles('a', transaction=True)\nasync def fits(event, *rest): ...\n"
        "@on_stop\ndef closes(pool): ...\n"
    )

    with pytest.raises(HandlersError) as raised:
        load_handlers("no_such_module,misdeclared")

    first, *others = raised.value.problems
    assert "no_such_module" in first
    assert [problem.partition(", but")[0] for problem in others] == [
        "Ringback calls misdeclared.lacks(event)",
        "Ringback calls misdeclared.wants_more(event)",
        "Ringback calls misdeclared.lacks_connection(event, connection)",
        "Ringback calls misdeclared.closes()",
    ]
