"""The types of problems (RFC 9457): each URI is the address of a section of docs/problems.md."""

PAGE = "https://github.com/ringback/ringback/blob/main/docs/problems.md"


def problem_type(reason: str) -> str:
    """The URI for a reason, which is the heading of its section. It never changes."""
    return f"{PAGE}#{reason.lower()}"
