"""What a page of the console is made from, and what it can answer."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from google.protobuf.message import Message

from ringback.services.metrics.auth.principal import Principal, Role
from ringback.services.metrics.transport.errors import ApiError

Answer = TypeVar("Answer", bound=Message)


@dataclass(frozen=True, slots=True)
class Page:
    """HTML from the file `template`, with `data` as its variables."""

    template: str
    title: str
    data: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200


@dataclass(frozen=True, slots=True)
class Redirect:
    """Answer 303 to a path below the console's base path, as in `/runs`."""

    path: str
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Download:
    """A file that the browser saves and never shows."""

    filename: str
    body: bytes = field(repr=False)
    content_type: str = "application/json"


Result = Page | Redirect | Download


@dataclass(frozen=True, slots=True)
class Visit:
    """One request for a page, by `principal`.

    `variables` are the decoded parts of the path, `query` is that of the URL, `form` the body of a
    POST; of a name that is given twice the last value counts.
    """

    principal: Principal
    call: Callable[[Message], Awaitable[Message]] = field(repr=False)
    variables: Mapping[str, str]
    query: Mapping[str, str]
    form: Mapping[str, str]

    @property
    def is_service(self) -> bool:
        return self.principal.role is Role.SERVICE

    async def ask(self, request: Message, answer: type[Answer]) -> Answer:
        """Call the method of the API that takes `request`, as this person.

        Raises ApiError, which becomes the page if nothing catches it.
        """
        answered = await self.call(request)
        if not isinstance(answered, answer):
            raise TypeError(f"{type(request).__name__} is answered with {type(answered).__name__}")
        return answered

    async def try_to_ask(self, request: Message, answer: type[Answer]) -> Answer | ApiError:
        """The same for a part of a page: the template shows the error in its place."""
        try:
            return await self.ask(request, answer)
        except ApiError as error:
            return error


Show = Callable[[Visit], Awaitable[Result]]


@dataclass(frozen=True, slots=True)
class Route:
    """`path` is below the base path; `{name}` is one segment of it, as in `/calls/{call_id}`."""

    verb: str
    path: str
    show: Show
