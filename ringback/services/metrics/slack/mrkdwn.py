"""Escapes text for Slack: untrusted text must not format, link or mention anyone."""

from datetime import datetime
from urllib.parse import quote

from ringback.services.metrics.slack.redaction import without_secrets


def shown(text: str, *, maximum: int) -> str:
    """Untrusted text on one line, without secrets, shortened and escaped."""
    return escaped(shortened(without_secrets(text), maximum=maximum))


def code(text: str, *, maximum: int) -> str:
    """Like `shown`, as code: nothing in it is formatting."""
    inner = shown(text.replace("`", "'"), maximum=maximum)
    return f"`{inner or ' '}`"


def code_block(text: str, *, maximum: int) -> str:
    inner = shown(text.replace("`", "'"), maximum=maximum)
    return f"```{inner or ' '}```"


def shortened(text: str, *, maximum: int) -> str:
    return text if len(text) <= maximum else f"{text[: maximum - 1].rstrip()}…"


def escaped(text: str) -> str:
    """Escape the three characters that are special in Slack, which also disables `<!channel>`."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def link(url: str, label: str) -> str:
    """`label` is trusted text. The URL is quoted, so that it cannot end the link early."""
    return f"<{escaped(quote(url, safe=_URL_CHARACTERS))}|{label}>"


def local_time(moment: datetime) -> str:
    """A moment in each reader's own time zone."""
    there = moment.strftime("%Y-%m-%d %H:%M UTC")
    return f"<!date^{int(moment.timestamp())}^{{date_short_pretty}} {{time}}|{there}>"


_URL_CHARACTERS = "%:/?#[]@!$&'()*+,;=-._~{}\""
