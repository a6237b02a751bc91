"""Forwards in the endpoints file, as the processor and the gateway read them."""

from ipaddress import ip_network
from pathlib import Path

import jsonschema
import pytest
import yaml

from ringback.contract.retry_schedule import RetrySchedule
from ringback.runtime.endpoints.document import DocumentError
from ringback.runtime.endpoints.forwards import ForwardTable, read_forwards
from ringback.runtime.endpoints.secret_sources import Sources
from ringback.services.gateway.endpoints.declared import json_schema
from ringback.services.gateway.endpoints.document import parse_document, parse_entries

ORG = "5b0c2f0e-7d1c-4a55-9a86-2f2f5f1f0001"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
EXAMPLE = f"""
endpoints:
  acme:
    org_id: {ORG}
    secret: {{file: /nowhere/that/a/processor/reads}}
    forward:
      - name: crm
        url: https://crm.example.com/vapi
        event_types: [end-of-call-report, "chat.*"]
        signing_secrets: [{{file: FOLDER/new}}, {{env: OLD_SECRET}}]
        timeout_s: 5
        schedule: 10s,1m,1h
        permanent_statuses: [404]
        concurrency: 2
      - name: archive
        url: http://archive.internal/
        signing_secrets: {SECRET}
        allow_networks: [10.1.0.0/16]
  beta:
    org_id: {ORG}
    state: disabled
"""


@pytest.fixture(name="file")
def _file(tmp_path: Path) -> Path:
    (tmp_path / "new").write_text(f"{SECRET}\n")
    path = tmp_path / "endpoints.yaml"
    path.write_text(EXAMPLE.replace("FOLDER", str(tmp_path)))
    return path


def test_a_processor_reads_every_field_and_no_secret_of_a_sender(file: Path) -> None:
    sources = Sources({"OLD_SECRET": SECRET}, with_signing_secrets=True)

    crm, archive = read_forwards(file, sources)

    assert (crm.endpoint_id, crm.name, crm.url) == ("acme", "crm", "https://crm.example.com/vapi")
    assert crm.secrets == (SECRET, SECRET)
    assert [key.version for key in crm.keys] == ["v1", "v1"]
    assert (crm.timeout_s, crm.concurrency) == (5.0, 2)
    assert crm.schedule == RetrySchedule.parse("10s,1m,1h")
    assert crm.permanent_statuses == {404, 410}
    assert (archive.timeout_s, archive.schedule, archive.concurrency) == (15.0, None, 4)
    assert archive.networks == (ip_network("10.1.0.0/16"),)
    assert sources.files.keys() == {file, file.with_name("new")}
    assert SECRET not in repr(crm)


def test_a_gateway_needs_no_signing_secret(file: Path) -> None:
    text = file.read_text("utf-8").replace("{file: /nowhere/that/a/processor/reads}", "hush")
    file.with_name("new").unlink()

    entries = parse_document(text, Sources({}))

    assert [entry.name for entry in entries["acme"].forward] == ["crm", "archive"]
    jsonschema.validate(yaml.safe_load(text), json_schema())


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("name: crm, url: 'https://a.example/'", "acme.forward.0.signing_secrets: is required"),
        ("name: a b, url: 'https://a.example/'", "acme.forward.0.name: "),
        ("url: 'https://ada:hush@a.example/'", "acme.forward.0.url: must not contain a user name"),
        ("url: 'http://a.example/'", "acme.forward.0: url must begin with https"),
        (
            "signing_secrets: hush!",
            "acme.forward.0.signing_secrets: must be whsec_<base64> or whsk_",
        ),
        ("signing_secrets: [{env: NOPE}]", "acme.forward.0.signing_secrets: the environment"),
        ("signing_secrets: []", "acme.forward.0.signing_secrets: must have at least one"),
        ("event_types: []", "acme.forward.0.event_types: "),
        ("schedule: soon", "acme.forward.0.schedule: 'soon' is not a delay such as"),
        ("timeout_s: 61", "acme.forward.0.timeout_s: "),
        ("allow_networks: [10.0.0.1/8]", "acme.forward.0.allow_networks.0: must be a network"),
        ("permanent_statuses: [500]", "acme.forward.0.permanent_statuses.0: "),
        ("concurrency: 0", "acme.forward.0.concurrency: "),
        ("secrets: hush", "acme.forward.0.secrets: there is no such field"),
    ],
)
def test_each_mistake_has_its_place_and_its_cause(
    tmp_path: Path, fields: str, expected: str
) -> None:
    given = yaml.safe_load(f"{{{fields}}}")
    if "signing_secrets: is required" not in expected:
        usual = {"name": "crm", "url": "https://a.example/", "signing_secrets": SECRET}
        given = {**usual, **given}
    document = {"endpoints": {"acme": {"org_id": ORG, "secret": "x", "forward": [given]}}}
    path = tmp_path / "endpoints.yaml"
    path.write_text(yaml.safe_dump(document))

    with pytest.raises(DocumentError) as by_processor:
        read_forwards(path, Sources({}, with_signing_secrets=True))
    with pytest.raises(DocumentError) as by_command:
        parse_document(path.read_text("utf-8"), Sources({}, with_signing_secrets=True))

    assert expected in by_processor.value.problems[0]
    assert by_command.value.problems == by_processor.value.problems
    assert "hush" not in str(by_processor.value)


def test_two_forwards_of_an_endpoint_have_two_names(tmp_path: Path) -> None:
    path = tmp_path / "endpoints.yaml"
    path.write_text(EXAMPLE.replace("name: archive", "name: crm").replace("FOLDER", str(tmp_path)))
    (tmp_path / "new").write_text(SECRET)

    with pytest.raises(DocumentError, match="the name crm is declared twice"):
        read_forwards(path, Sources({"OLD_SECRET": SECRET}, with_signing_secrets=True))


def test_only_the_file_may_declare_forwards() -> None:
    """A processor does not read RINGBACK_ENDPOINTS."""
    forward = f"[{{name: crm, url: 'https://a.example/', signing_secrets: {SECRET}}}]"

    with pytest.raises(DocumentError, match="declare it in RINGBACK_ENDPOINTS_FILE"):
        parse_entries(f"acme: {{org_id: {ORG}, forward: {forward}}}", Sources({}))


def test_a_table_says_who_gets_a_webhook_and_what_changed(file: Path) -> None:
    sources = Sources({"OLD_SECRET": SECRET}, with_signing_secrets=True)
    table = ForwardTable(read_forwards(file, sources))

    assert [one.name for one in table.wanting("acme", "hang")] == ["archive"]
    assert [one.name for one in table.wanting("acme", "chat.created")] == ["crm", "archive"]
    assert table.wanting("beta", "hang") == []
    assert table.replace(read_forwards(file, sources)) == []

    renamed = file.read_text("utf-8").replace("name: archive", "name: store")
    file.write_text(renamed, "utf-8")

    assert table.replace(read_forwards(file, sources)) == ["acme"]
    assert table.find("acme", "archive") is None
    assert table.find("acme", "store") is not None
