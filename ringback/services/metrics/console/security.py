"""The headers of the console's answers, and which requests may change something."""

from collections.abc import Mapping

from aiohttp import hdrs


def page_headers(*, frame_ancestors: str = "'none'") -> Mapping[str, str]:
    """The headers of a page: no script, style or connection but our own, and no copy in a cache."""
    return {
        "Content-Security-Policy": (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
            "connect-src 'self'; form-action 'self'; base-uri 'none'; "
            f"frame-ancestors {frame_ancestors}; require-trusted-types-for 'script'"
        ),
        "Cache-Control": "no-store",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "Server": "ringback",
    }


def frame_ancestors(setting: str) -> str:
    """The value for the policy: `'none'`, or sources with blanks between them."""
    sources = (each.strip() for each in setting.split(","))
    return " ".join(f"'{each}'" if each in {"none", "self"} else each for each in sources)


def is_same_origin(headers: Mapping[str, str], own_origin: str) -> bool:
    """Whether a request that changes something comes from a page of the console.

    Every browser of today sends Sec-Fetch-Site; an older one sends Origin with a POST.
    """
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    return headers.get(hdrs.ORIGIN) == own_origin
