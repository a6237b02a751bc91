"""An OpenAPI document as a page: its operations, then its schemas."""

from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]


def openapi_page(title: str, document: Json) -> str:
    page = _Page(document)
    lines = [f"# {title}", "", document["info"]["description"]]
    for path, verbs in document["paths"].items():
        for verb, operation in verbs.items():
            lines += ["", f"## `{verb.upper()} {path}`", "", *page.operation(operation)]
    if schemas := document["components"].get("schemas"):
        lines += ["", "## Schemas"]
        for name, schema in schemas.items():
            lines += ["", f"### {name}", "", *page.schema(schema)]
    return "\n".join(lines) + "\n"


class _Page:
    def __init__(self, document: Json) -> None:
        self._document = document

    def operation(self, operation: Json) -> Iterator[str]:
        yield str(operation.get("description", operation["summary"]))
        yield ""
        rows = [
            (each["name"], each["in"], each["schema"], each.get("description", ""))
            for each in map(self._resolved, operation.get("parameters", []))
        ]
        if rows:
            yield "| parameter | in | type | what |"
            yield "|---|---|---|---|"
            for name, place, schema, what in rows:
                yield f"| `{name}` | {place} | {self._type(schema)} | {cell(what)} |"
            yield ""
        if body := operation.get("requestBody"):
            for content_type, content in self._resolved(body)["content"].items():
                yield f"Body: {self._type(content['schema'])}, as `{content_type}`."
            yield ""
        yield "| status | answer |"
        yield "|---|---|"
        by_answer: dict[str, list[str]] = {}
        for status, each in operation["responses"].items():
            by_answer.setdefault(self._answer(each), []).append(status)
        for answer, statuses in by_answer.items():
            yield f"| {', '.join(statuses)} | {answer} |"

    def schema(self, schema: Json) -> Iterator[str]:
        if description := schema.get("description"):
            yield description
            yield ""
        if values := schema.get("enum"):
            yield ", ".join(f"`{value}`" for value in values)
        elif properties := schema.get("properties"):
            yield "| field | type | what |"
            yield "|---|---|---|"
            for name, field in properties.items():
                yield f"| `{name}` | {self._type(field)} | {cell(field.get('description', ''))} |"

    def _answer(self, reference: Json) -> str:
        answer = self._resolved(reference)
        kinds = [
            self._type(content["schema"])
            for content in answer.get("content", {}).values()
            if "$ref" in content.get("schema", {})
        ]
        return " ".join([cell(answer["description"]), *kinds])

    def _resolved(self, reference: Json) -> Json:
        found: Json = self._document
        if "$ref" not in reference:
            return reference
        for key in reference["$ref"].removeprefix("#/").split("/"):
            found = found[key]
        return found

    def _type(self, schema: Json) -> str:
        if reference := schema.get("$ref"):
            name = reference.rpartition("/")[2]
            return f"[{name}](#{name.lower()})"
        if choices := schema.get("anyOf") or schema.get("oneOf"):
            return " or ".join(self._type(each) for each in choices)
        kinds = schema.get("type", "any")
        if isinstance(kinds, list):
            return " or ".join(self._type({**schema, "type": each}) for each in kinds)
        if kinds == "array":
            return f"list of {self._type(schema['items'])}"
        if values := schema.get("enum"):
            return " or ".join(f"`{value}`" for value in values)
        form = schema.get("format")
        return f"{kinds} ({form})" if form and kinds != "null" else str(kinds)


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
