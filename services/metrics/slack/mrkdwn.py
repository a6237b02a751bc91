"""Text as Slack takes it: what strangers wrote must neither format, link nor call anybody."""

from datetime import datetime
from urllib.parse import quote

from services.metrics.slack.redaction import without_secrets


def shown(text: str, *, most: int) -> str:
    """A stranger's text in one line, without secrets, at most so long, and escaped."""
    return escaped(shortened(without_secrets(text), most=most))


def code(text: str, *, most: int) -> str:
    """As `shown`, as code: nothing in it is taken for formatting."""
    inner = shown(text.replace("`", "'"), most=most)
    return f"`{inner or ' '}`"


def code_block(text: str, *, most: int) -> str:
    inner = shown(text.replace("`", "'"), most=most)
    return f"```{inner or ' '}```"


def shortened(text: str, *, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def escaped(text: str) -> str:
    """The three characters that Slack gives a meaning; `<!channel>` then calls nobody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def link(url: str, label: str) -> str:
    """`label` is ours. Of the address nothing can end the link."""
    return f"<{escaped(quote(url, safe=_OF_ADDRESSES))}|{label}>"


def local_time(moment: datetime) -> str:
    """A moment in each reader's own time zone."""
    there = moment.strftime("%Y-%m-%d %H:%M UTC")
    return f"<!date^{int(moment.timestamp())}^{{date_short_pretty}} {{time}}|{there}>"


_OF_ADDRESSES = "%:/?#[]@!$&'()*+,;=-._~{}\""
