"""Selects the spans of one webhook from those of many, in time order. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ringback.cli.trace_spans import ReadSpan
from ringback.contract.telemetry.spans import Attribute


@dataclass(frozen=True, slots=True)
class SpanTree:
    """A span and its children, in the order of their beginnings."""

    span: ReadSpan
    children: tuple["SpanTree", ...]

    @property
    def ended_ns(self) -> int:
        """When its last part ended: a publish outlives its request."""
        return max((self.span.ended_ns, *(child.ended_ns for child in self.children)))

    def all_spans(self) -> Iterable[ReadSpan]:
        yield self.span
        for child in self.children:
            yield from child.all_spans()


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """One tree, and the webhook that it is about.

    `waited_ns` is the time since all earlier trees ended, in the queue `waited_in` if known.
    """

    tree: SpanTree
    job_id: str
    waited_ns: int | None
    waited_in: str


def jobs_that_begin_with(prefix: str, spans: Iterable[ReadSpan]) -> list[str]:
    """The ids of webhooks with this beginning; only the exact one if it exists."""
    found = {job_id for span in spans if (job_id := job_of(span)).startswith(prefix) and job_id}
    return [prefix] if prefix in found else sorted(found)


def family_of(job_id: str, spans: Iterable[ReadSpan]) -> frozenset[str]:
    """The webhook, those that it is a retry of, and those that it was retried as."""
    related: dict[str, set[str]] = defaultdict(set)
    for span in spans:
        one, other = job_of(span), str(span.attributes.get(Attribute.RETRY_OF, ""))
        if one and other:
            related[one].add(other)
            related[other].add(one)
    family, waiting = {job_id}, [job_id]
    while waiting:
        new = related[waiting.pop()] - family
        family |= new
        waiting.extend(new)
    return frozenset(family)


def story_of(family: frozenset[str], spans: Sequence[ReadSpan]) -> list[Chapter]:
    """All spans of these webhooks.

    Of a trace that covers other webhooks too, such as a bulk retry, only our part is included.
    """
    ours = _ours(family, spans)
    below: dict[str, list[ReadSpan]] = defaultdict(list)
    for span in sorted(ours.values(), key=lambda one: (one.began_ns, -one.ended_ns)):
        below[span.parent_id if span.parent_id in ours else ""].append(span)
    chapters: list[Chapter] = []
    ended_ns: int | None = None
    routed_to = ""
    for root in below[""]:
        tree = _tree(root, below)
        chapters.append(
            Chapter(
                tree=tree,
                job_id=_job_in(tree, family),
                waited_ns=None if ended_ns is None else root.began_ns - ended_ns,
                waited_in=routed_to,
            )
        )
        ended_ns = max(ended_ns or 0, tree.ended_ns)
        routed_to = _routed_to(tree)
    return chapters


def job_of(span: ReadSpan) -> str:
    return str(span.attributes.get(Attribute.JOB_ID, ""))


def _ours(family: frozenset[str], spans: Sequence[ReadSpan]) -> dict[str, ReadSpan]:
    by_id = {span.span_id: span for span in spans}
    ours = {span.span_id: span for span in spans if job_of(span) in family}
    direct = set(ours)
    for span in spans:
        if span.span_id in direct:
            _add_ancestors(span, by_id, ours)
        elif not job_of(span) and _is_below_or_links(span, by_id, direct):
            ours[span.span_id] = span
    return ours


def _add_ancestors(
    span: ReadSpan, by_id: Mapping[str, ReadSpan], ours: dict[str, ReadSpan]
) -> None:
    """The parts that belong to no other webhook."""
    parent = by_id.get(span.parent_id)
    while parent is not None and parent.span_id not in ours and not job_of(parent):
        ours[parent.span_id] = parent
        parent = by_id.get(parent.parent_id)


def _is_below_or_links(
    span: ReadSpan, by_id: Mapping[str, ReadSpan], direct: frozenset[str] | set[str]
) -> bool:
    if any(link.span_id in direct for link in span.links):
        return True
    parent = by_id.get(span.parent_id)
    while parent is not None:
        if job_of(parent):
            return parent.span_id in direct
        parent = by_id.get(parent.parent_id)
    return False


def _tree(span: ReadSpan, below: Mapping[str, Sequence[ReadSpan]]) -> SpanTree:
    return SpanTree(span, tuple(_tree(child, below) for child in below.get(span.span_id, ())))


def _job_in(tree: SpanTree, family: frozenset[str]) -> str:
    return next((job for span in tree.all_spans() if (job := job_of(span)) in family), "")


def _routed_to(tree: SpanTree) -> str:
    moves = [span.attributes.get(Attribute.ROUTED_TO, "") for span in tree.all_spans()]
    return str(next(filter(None, reversed(moves)), ""))
