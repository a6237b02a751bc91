"""The REST route of a method, from its `google.api.http` option."""

import re
from dataclasses import dataclass

from ringback.runtime.process.lifecycle import CannotStartError
from services.metrics.api.methods import Method

_VARIABLE = re.compile(r"\{([a-z][a-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class HttpRule:
    """`template` is a path such as `/deliveries/{job_id}:retry`; a variable is a field.

    The other fields are in the body if `has_body`, else in the query.
    """

    verb: str
    template: str
    variables: tuple[str, ...]
    has_body: bool

    @property
    def literal(self) -> str:
        """The template without its variables."""
        return _VARIABLE.sub("", self.template)

    @property
    def shape(self) -> re.Pattern[str]:
        """The pattern of a percent-encoded path. A variable is one segment, or a part of one."""
        pieces = _VARIABLE.split(self.template)
        return re.compile(
            "".join(
                f"(?P<{piece}>[^/]+)" if index % 2 else re.escape(piece)
                for index, piece in enumerate(pieces)
            )
        )


def http_rule(method: Method) -> HttpRule:
    """Raises CannotStartError when the contract uses an option that is not supported here."""
    rule = method.http_rule
    verb = rule.WhichOneof("pattern") or ""
    template = getattr(rule, verb, "")
    variables = tuple(_VARIABLE.findall(template))
    fields = method.request_class.DESCRIPTOR.fields_by_name
    if (
        (verb, rule.body) not in {("get", ""), ("post", "*")}
        or rule.additional_bindings
        or rule.response_body
        or "{" in _VARIABLE.sub("", template)
        or not all(name in fields for name in variables)
    ):
        raise CannotStartError(f"The HTTP rule of {method.full_name} cannot be served.")
    return HttpRule(verb.upper(), template, variables, has_body=rule.body == "*")
