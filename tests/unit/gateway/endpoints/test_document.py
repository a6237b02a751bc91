"""The file of endpoints: what it declares, and every mistake in it at once."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ringback.contract.telemetry.gateway import REJECTION_REASONS
from ringback.contract.telemetry.spec import KNOWN_EVENT_TYPES, QUESTION_TYPES
from ringback.runtime.endpoints.document import DocumentError
from ringback.runtime.endpoints.secret_sources import Sources
from ringback.services.gateway.endpoints.credentials import Reason, SharedSecret
from ringback.services.gateway.endpoints.declared import json_schema
from ringback.services.gateway.endpoints.document import (
    built,
    parse_document,
    read_document,
)
from ringback.services.gateway.endpoints.endpoint import Question
from ringback.services.gateway.endpoints.signatures import Hmac, StandardWebhooks

ORG = "5b0c2f0e-7d1c-4a55-9a86-2f2f5f1f0001"
EXAMPLE = f"""
endpoints:
  acme:
    org_id: {ORG}
    state: enabled
    event_types: ["*"]
    credentials:
      - {{kind: header, name: X-Vapi-Secret, secret: {{file: FOLDER/acme}}}}
      - {{kind: bearer, header: Authorization, secret: {{env: ACME_TOKEN}}}}
      - {{kind: hmac, algorithm: sha256, secret: {{file: FOLDER/acme}},
         signature_header: x-signature, timestamp_header: x-timestamp,
         payload: "{{timestamp}}.{{body}}", encoding: hex, prefix: "sha256=", tolerance_s: 300}}
      - {{kind: standard_webhooks, secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}}
    networks: [167.150.224.0/23]
    retry_schedule: 2s,1m,6h
    questions:
      assistant-request:
        {{url: "https://app.example.com/vapi", timeout_s: 6.5, fallback: {{assistantId: "a"}}}}
      tool-calls: {{url: "https://app.example.com/tools"}}
      knowledge-base-request: {{url: "https://app.example.com/documents"}}
  beta:
    org_id: 5b0c2f0e-7d1c-4a55-9a86-2f2f5f1f0002
    state: disabled
    event_types: [end-of-call-report, "chat.*"]
    secret: [new, old]
"""


@pytest.mark.parametrize("as_json", [False, True], ids=["YAML", "JSON"])
def test_every_field_of_the_example_is_read(tmp_path: Path, *, as_json: bool) -> None:
    """In YAML and in JSON, with secrets from files and variables, without their line ends."""
    (tmp_path / "acme").write_text("hush\r\n")
    text = EXAMPLE.replace("FOLDER", str(tmp_path))
    file = tmp_path / "endpoints"
    file.write_text("\ufeff" + (json.dumps(yaml.safe_load(text)) if as_json else text), "utf-8")
    sources = Sources({"ACME_TOKEN": "token\n"})

    acme, beta = built(read_document(file, sources))

    header, bearer, signature, standard = acme.credentials
    assert header == SharedSecret(("X-Vapi-Secret",), (b"hush",))
    assert bearer == SharedSecret(("Authorization",), (b"token",))
    assert isinstance(signature, Hmac)
    assert (signature.secrets, signature.prefix, signature.tolerance_s) == (
        (b"hush",),
        "sha256=",
        300,
    )
    assert isinstance(standard, StandardWebhooks)
    assert (acme.id, acme.org_id, acme.is_enabled) == ("acme", UUID(ORG), True)
    assert [str(network) for network in acme.networks] == ["167.150.224.0/23"]
    assert acme.questions == {
        "assistant-request": Question("https://app.example.com/vapi", 6.5, {"assistantId": "a"}),
        "tool-calls": Question("https://app.example.com/tools", 15.0, None),
        "knowledge-base-request": Question("https://app.example.com/documents", 9.0, None),
    }
    assert (str(acme.retry_schedule), beta.retry_schedule) == ("2s,1m,6h", None)
    assert beta.credentials == (SharedSecret(("X-Vapi-Secret", "Authorization"), (b"new", b"old")),)
    assert not beta.is_enabled
    assert sources.files.keys() == {file, tmp_path / "acme"}
    jsonschema.validate(yaml.safe_load(text), json_schema())


@pytest.mark.parametrize(
    ("event_type", "is_accepted"),
    [
        ("end-of-call-report", True),
        ("chat.created", True),
        ("transcript", True),
        ('transcript[transcriptType="final"]', True),
        ("chat", False),
        ("hang", False),
        ("end-of-call-report2", False),
    ],
)
def test_only_the_listed_types_are_accepted(event_type: str, *, is_accepted: bool) -> None:
    """A star at the end stands for any rest; what a type has in brackets does not matter."""
    types = '[end-of-call-report, "chat.*", transcript]'
    text = f"endpoints: {{a: {{org_id: {ORG}, event_types: {types}}}}}"
    (endpoint,) = built(parse_document(text, Sources({})))

    assert endpoint.accepts(event_type) is is_accepted


def problems(text: str, **environ: str) -> list[str]:
    with pytest.raises(DocumentError) as caught:
        parse_document(text, Sources(environ))
    assert "hush" not in str(caught.value)
    return caught.value.problems


def test_all_mistakes_are_listed_at_once(tmp_path: Path) -> None:
    """Each with its entry and its cause."""
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    credentials = [
        "{kind: header, name: 'X Vapi', secret: {file: FOLDER/nowhere}}",
        "{kind: bearer, secret: {env: NOPE}}",
        "{kind: beaver, secret: hush}",
        "{kind: hmac, secret: 12, payload: '{timestamp}', algorithm: md5}",
        "{kind: hmac, secret: hush, payload: '{svix-id}{body}', algorithm: sha1}",
        "{kind: hmac, secret: hush, payload: '{url}{body}', algorithm: sha1}",
        "{kind: hmac, secret: hush, payload: '{bodies}{body}', algorithm: sha1}",
        "{kind: hmac, secret: 'hush hush', secret_is_base64: true, algorithm: sha1}",
        "{kind: standard_webhooks, secret: hush}",
        "{kind: standard_webhooks, secret: whpk_aHVzaA==}",
        "{kind: header, secret: {files: hush}}",
        "{kind: header, secret: [hush, 'hush ']}",
        "{kind: header, secret: hüsh}",
        "{kind: header, secret: []}",
        "{kind: header, secret: {file: FOLDER/empty}}",
        "{kind: header, secret: {file: FOLDER/binary}}",
    ]
    listed = "".join(f"\n    - {one}" for one in credentials).replace("FOLDER", str(tmp_path))
    text = f"""
endpoints:
  acme:
    org_id: {ORG[:-1]}
    state: true
    event_type: []
    dedup_by: message_id
    networks: [1.2.3.4/8, hush]
    questions:
      assistant-request: {{url: "https://a.example/", timeout_s: 7.5}}
      campaign.predial: {{url: "https://{"a" * 64}.example/"}}
      voice-request: {{url: "https://{"ü" * 60}.example/"}}
      knowledge-base-request: {{url: "https://ada:hush@a.example/"}}
      tool-call: {{url: "ftp://a.example/"}}
      tool-calls: {{url: "https://", timeout_s: 301, fallback: hush}}
    credentials: {listed}
  none: {{org_id: 00000000-0000-0000-0000-000000000000}}
  a b: {{org_id: {ORG}}}
  nothing:
"""

    found = "\n".join(problems(text))

    for expected in [
        "acme.org_id: must be a UUID",
        "acme.state: must be 'enabled' or 'disabled'",
        "acme.event_type: there is no such field",
        "acme.networks.0: ",
        "acme.networks.1: ",
        "acme.questions.campaign.predial.url: must have a host with 1 to 63 characters",
        "acme.questions.voice-request.url: must have a host with 1 to 63 characters",
        "acme.questions.knowledge-base-request.url: must not contain a user name or a password",
        "acme.questions.tool-call: must be 'assistant-request'",
        "acme.questions.tool-call.url: must be a URL that begins with http",
        "acme.questions.tool-calls.url: must be a URL with a host",
        "acme.questions.tool-calls.timeout_s: must be less than or equal to 300",
        "acme.questions.tool-calls.fallback: ",
        "acme.credentials.0.name: must match pattern",
        f"acme.credentials.0.secret: {tmp_path}/nowhere cannot be read: No such file",
        "acme.credentials.1.secret: the environment variable NOPE is not set",
        "acme.credentials.2: kind must be one of 'header', 'bearer'",
        "acme.credentials.3.secret: is a number; put it in quotes",
        "acme.credentials.3.payload: must contain {body}",
        "acme.credentials.3.algorithm: must be 'sha256', 'sha512' or 'sha1'",
        "acme.credentials.4: message_id_header is required",
        "acme.credentials.5: url is required",
        "acme.credentials.6.payload: has an unknown placeholder",
        "acme.credentials.7: secret: is not base64",
        "acme.credentials.8.secret: must be whsec_<base64>",
        "acme.credentials.9.secret: must be whsec_<base64>",
        "acme.credentials.10.secret: must be a text, {file: <path>} or {env: <variable>}",
        "acme.credentials.11.secret: begins or ends with whitespace",
        "acme.credentials.12.secret: must be printable ASCII",
        "acme.credentials.13.secret: must have at least one secret",
        f"acme.credentials.14.secret: file {tmp_path}/empty is empty",
        f"acme.credentials.15.secret: {tmp_path}/binary is not UTF-8 text",
        "none.org_id: 00000000-0000-0000-0000-000000000000 is reserved",
        "a b: must match pattern",
        "nothing: ",
    ]:
        assert expected in found, found


BY_ID = "dedup_by: message_id"
HMAC_WITH_ID = "kind: hmac, algorithm: sha1, secret: hush, message_id_header: x-id"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("dedup_by: message_id, secret: hush", "dedup_by: message_id needs a credential"),
        (
            "dedup_by: message_id, credentials: [{kind: hmac, algorithm: sha256, secret: hush}]",
            "dedup_by: message_id needs a credential that signs one",
        ),
        # The second one does not sign its id, so anyone could repeat a request under a new one.
        (
            (
                "dedup_by: message_id, credentials: ["
                "{kind: standard_webhooks, secret: whsec_aHVzaA==}, {kind: hmac, secret: hush, "
                "algorithm: sha256, message_id_header: x-id, payload: '{timestamp}.{body}'}]"
            ),
            "dedup_by: message_id needs {svix-id} in credentials.1.payload",
        ),
        # In these, characters could move between the id and the timestamp or the body.
        *(
            (
                f"{BY_ID}, credentials: [{{{HMAC_WITH_ID}, payload: '{payload}'{more}}}]",
                f"dedup_by: message_id needs {missing}",
            )
            for payload, more, missing in (
                ("{timestamp}{svix-id}.{body}", "", "a separator beside {svix-id} in cred"),
                ("{timestamp}.{svix-id}{body}", "", "a separator beside {svix-id} in cred"),
                (
                    "{svix-id}.{timestamp}.{body}",
                    ", tolerance_s: null",
                    "a number in credentials.0.tolerance_s",
                ),
            )
        ),
        (
            'questions: {assistant-request: {url: "https://a.example/", timeout_s: 7.5}}',
            "questions: assistant-request.timeout_s must be below 7.5",
        ),
    ],
)
def test_fields_must_fit_each_other(fields: str, expected: str) -> None:
    (found,) = problems(f"endpoints: {{acme: {{org_id: {ORG}, {fields}}}}}")

    assert expected in found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "the document: "),
        ("[]", "the document: "),
        ("acme: {org_id: x}", "endpoints: is required"),
        ("endpoints: {a: {org_id: x}\n", "line 2: invalid YAML"),
        ("endpoints:\n  a: {}\n  a: {}\n", "line 3: 'a' is there twice"),
        ('{"endpoints": {}, "endpoints": {}}', "'endpoints' is there twice"),
        ('{"endpoints": {}', "line 1: invalid JSON"),
        ("endpoints: *hush", "line 1: anchors and aliases are not supported"),
        ("a: 1\nsecret: &hush", "line 2: anchors and aliases are not supported"),
        ("a: &a [x, x]\nb: &b [*a, *a]", "line 1: anchors and aliases are not supported"),
        ("endpoints: {<<: {a: 1}, a: 2}", "line 1: the merge key << is not supported"),
        ("endpoints: {a: {secret: !hush 1}}", "put a value that begins with ! in quotes"),
        ("endpoints: {? [1] : 2}", "line 1: a key must be text"),
        # The parser refuses it before our check; older versions of libyaml crashed.
        ("[" * 100_000, "line 1: invalid YAML: exceeded maximum nesting depth"),
        ("[" * 65, "line 1: is nested too deeply: at most 64 levels"),
        ("\n".join(f"{' ' * n}-" for n in range(99)), "line 65: is nested too deeply"),
        ('{"a":' * 10_000, "is nested too deeply"),
        (r'{"endpoints": {"a": {"x": "\ud800"}}}', "a text has half of a pair"),
    ],
)
def test_a_text_that_is_no_document_is_explained(text: str, expected: str) -> None:
    """With its line, and without its values."""
    assert expected in problems(text)[0]


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: raw.decode("latin-1")))
def test_no_text_is_an_unexpected_error(text: str) -> None:
    """Any text is a document or a DocumentError."""
    for one in (text, f"endpoints: {{a: {{org_id: {ORG}, secret: {text}}}}}"):
        with suppress(DocumentError):
            parse_document(one, Sources({}))


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
FIELDS = [
    *("org_id", "state", "event_types", "credentials", "secret", "dedup_by", "networks"),
    *("questions", "forward", "endpoints", "kind", "algorithm", "retry_schedule"),
]


@given(st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=5), VALUES, max_size=6))
def test_what_the_gateway_reads_fits_its_schema(entry: dict[str, Any]) -> None:
    """Anything that is accepted also fits the published JSON Schema; nothing is a crash."""
    document = {"endpoints": {"acme": {"org_id": ORG, **entry}}}
    try:
        parse_document(json.dumps(document), Sources({}))
    except DocumentError:
        return
    jsonschema.validate(document, json_schema())


def test_the_published_schema_is_current() -> None:
    """`make generate` writes it."""
    published = Path(__file__).parents[4] / "docs" / "endpoints.schema.json"

    assert json.loads(published.read_text(encoding="utf-8")) == json_schema()


def test_every_reason_is_a_label_of_the_metric() -> None:
    """And every question is a type of event that Vapi documents."""
    assert {reason.value for reason in Reason} <= set(REJECTION_REASONS)
    assert QUESTION_TYPES <= KNOWN_EVENT_TYPES
