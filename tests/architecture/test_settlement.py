"""A message is answered in one place, so that none is answered twice or never."""

import ast

from tests.architecture.source import modules

ANSWERS = {"ack", "nack", "reject", "basic_ack", "basic_nack", "basic_reject"}


def answers_in(tree: ast.Module) -> set[str]:
    return {
        node.func.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ANSWERS
    }


def test_one_module_answers_the_broker() -> None:
    answering = [
        module.name
        for module in modules("ringback/services")
        if any(name in module.text for name in ANSWERS) and answers_in(module.tree)
    ]

    assert answering == ["ringback.services.processor.consume.settle"]


def test_nothing_is_answered_by_itself() -> None:
    """A context manager or an automatic acknowledgement would answer without a verdict."""
    for module in modules("ringback/services"):
        assert "no_ack=True" not in module.text, module.name
        assert ".process(" not in module.text, module.name
