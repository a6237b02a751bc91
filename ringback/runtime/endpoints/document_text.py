"""Reads a YAML or JSON text into plain values. Refuses what a parser would silently change."""

import json
from collections.abc import Hashable, Sequence
from typing import Any

import yaml

_MERGE = "tag:yaml.org,2002:merge"
_MAX_DEPTH = 64


class UnreadableError(Exception):
    """The text is neither YAML nor JSON, or has a key twice. The message contains no value."""


def read_text(text: str) -> Any:
    """Return the values of the document. Raises UnreadableError.

    JSON has its own parser, which is many times faster: a file may list thousands of endpoints.
    """
    start = text.lstrip()
    if start.startswith("{"):
        try:
            return _json(text)
        except json.JSONDecodeError as exc:
            # Without a quote after the brace, it may be YAML in braces.
            if start[1:].lstrip().startswith('"'):
                raise UnreadableError(f"line {exc.lineno}: invalid JSON: {exc.msg}") from None
        except RecursionError:
            raise UnreadableError("is nested too deeply") from None
    try:
        _check_events(text)
        return yaml.load(text, Loader=_Loader)  # ruff: ignore[unsafe-yaml-load]  # a safe loader
    except yaml.MarkedYAMLError as exc:
        raise UnreadableError(_sentence(exc)) from None
    except (yaml.YAMLError, ValueError) as exc:
        raise UnreadableError(f"invalid YAML: {type(exc).__name__}") from None


def _check_events(text: str) -> None:
    """Refuse what could exhaust memory or the stack of the loader. Raises UnreadableError.

    Anchors are refused also because a secret may begin with `&`; YAML would read an empty value.
    """
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            raise UnreadableError(
                f"{_line(event.start_mark)}is nested too deeply: at most {_MAX_DEPTH} levels"
            )
        if isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            raise UnreadableError(
                f"{_line(event.start_mark)}anchors and aliases are not supported: "
                "put a value that begins with & or * in quotes"
            )


def _json(text: str) -> Any:
    found = json.loads(text, object_pairs_hook=_object)
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise UnreadableError("a text has half of a pair of \\ud800 to \\udfff") from None
    return found


def _sentence(error: yaml.MarkedYAMLError) -> str:
    where = _line(error.problem_mark or error.context_mark)
    if isinstance(error, yaml.scanner.ScannerError | yaml.parser.ParserError):
        return f"{where}invalid YAML: {error.problem}"
    # The message of the parser may contain the value.
    return f"{where}invalid YAML: put a value that begins with ! in quotes"


def _line(mark: Any) -> str:
    return "" if mark is None else f"line {mark.line + 1}: "


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise UnreadableError(f"{name!r} is there twice")
        found[name] = value
    return found


class _Loader(yaml.CSafeLoader):
    """Refuses a repeated key; YAML would keep the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # ruff: ignore[boolean-type-hint-positional-argument, boolean-default-value-positional-argument]  # as in the base
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == _MERGE:
                raise UnreadableError(f"line {line}: the merge key << is not supported")
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise UnreadableError(f"line {line}: a key must be text")
            if key in seen:
                raise UnreadableError(f"line {line}: {key!r} is there twice")
            seen.add(key)
        return super().construct_mapping(node, deep=deep)
