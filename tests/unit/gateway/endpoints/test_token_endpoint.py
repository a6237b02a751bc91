"""The gateway as its own OAuth2 server."""

import base64
import json
import time
from typing import Any
from urllib.parse import quote_plus

import jwt
import pytest
from structlog.testing import capture_logs

from ringback.runtime.endpoints.document import DocumentError
from ringback.runtime.endpoints.secret_sources import Sources
from ringback.services.gateway.endpoints.document import parse_entries
from ringback.services.gateway.endpoints.table import EndpointTable
from tests.support.gateway_client import DEFAULT_ORG, PATH
from tests.unit.gateway.endpoints.signing import endpoint_with, reason
from tests.unit.gateway.serving import ServedGateway, serving

SECRET, NEW_SECRET = "a client secret: of 24+ characters", "another client secret of 24+"
GRANT = {"grant_type": "client_credentials"}
PAIR = {"client_id": "vapi", "client_secret": SECRET}


def declared(**secrets: Any) -> str:
    return json.dumps(
        {
            name: {
                "org_id": DEFAULT_ORG,
                "credentials": [{"kind": "oauth2", "client_id": name, "client_secret": secret}],
            }
            for name, secret in secrets.items()
        }
    )


async def ask(
    gateway: ServedGateway, fields: dict[str, str], **headers: str
) -> tuple[int, dict[str, Any], str]:
    url = f"http://127.0.0.1:{gateway.port}/oauth2/token"
    async with gateway.session.post(url, data=fields, headers=headers) as got:
        return got.status, await got.json(), got.headers.get("Cache-Control", "")


async def test_a_token_opens_the_endpoint_of_its_client_only() -> None:
    """With the client's secret in the form or in the header, as the standard allows both."""
    async with serving(
        endpoints=declared(vapi=SECRET, other=NEW_SECRET), vapi_secret=""
    ) as gateway:
        pair = f"vapi:{quote_plus(SECRET)}".encode()
        basic = f"Basic {base64.b64encode(pair).decode()}"
        for fields, headers in (({**GRANT, **PAIR}, {}), (GRANT, {"Authorization": basic})):
            status, document, cache = await ask(gateway, fields, **headers)
            authorization = {"Authorization": f"Bearer {document['access_token']}"}
            answers = [
                await gateway.send(
                    b'{"type": "hang"}', path=f"{PATH}/{name}", secret=None, headers=authorization
                )
                for name in ("vapi", "other")
            ]

            assert (status, document["token_type"], cache) == (200, "Bearer", "no-store")
            assert document["expires_in"] == 3600
            assert [answer.status for answer in answers] == [200, 401]


WRONG_REQUESTS: list[tuple[dict[str, str], dict[str, str], tuple[int, str]]] = [
    ({**GRANT, **PAIR, "client_secret": SECRET[:-1]}, {}, (401, "invalid_client")),
    ({**GRANT, **PAIR, "client_id": "nobody"}, {}, (401, "invalid_client")),
    ({**GRANT, **PAIR, "client_id": "other"}, {}, (401, "invalid_client")),
    (GRANT, {}, (401, "invalid_client")),
    (GRANT, {"Authorization": "Basic !"}, (401, "invalid_client")),
    ({**GRANT, **PAIR}, {"Authorization": "Basic eDp5"}, (401, "invalid_client")),
    (PAIR, {}, (400, "unsupported_grant_type")),
    ({**PAIR, "grant_type": "password"}, {}, (400, "unsupported_grant_type")),
    ({**GRANT, **{f"f{n}": "x" for n in range(30)}}, {}, (400, "invalid_request")),
]


async def test_anything_else_gets_the_error_of_the_standard() -> None:
    """RFC 6749, section 5.2."""
    async with serving(
        endpoints=declared(vapi=SECRET, other=NEW_SECRET), vapi_secret=""
    ) as gateway:
        for fields, headers, expected in WRONG_REQUESTS:
            reason = "wrong_client" if expected[0] == 401 else "wrong_token_request"
            before = gateway.metric("webhook_rejected_total", endpoint="", reason=reason)
            with capture_logs() as lines:
                status, document, cache = await ask(gateway, fields, **headers)

            assert (status, document["error"], cache) == (*expected, "no-store"), fields
            counted = gateway.metric("webhook_rejected_total", endpoint="", reason=reason)
            assert counted == before + 1
            [line] = [one for one in lines if one["event"] == "webhook.rejected"]
            assert (line["reason"], line["status"]) == (reason, status)
            assert line["path"] == "/oauth2/token"
            assert SECRET[:-1] not in str(line)


@pytest.mark.parametrize(
    ("client_id", "check"),
    [
        ("vapi", "client_secret is not that of vapi"),
        (SECRET, "client_id is absent, or no endpoint declares it"),
    ],
)
async def test_the_log_names_a_declared_client_only(client_id: str, check: str) -> None:
    """An unknown id may be a secret that was entered in the wrong place."""
    async with serving(endpoints=declared(vapi=SECRET), vapi_secret="") as gateway:
        with capture_logs() as lines:
            await ask(gateway, {**GRANT, "client_id": client_id, "client_secret": NEW_SECRET})

    [line] = [one for one in lines if one["event"] == "webhook.rejected"]
    assert line["checks"] == (check,)
    assert SECRET not in str(line)
    assert NEW_SECRET not in str(line)


async def test_without_clients_there_is_no_token_endpoint(gateway: ServedGateway) -> None:
    """Nor for other methods, or for a large body."""
    assert (await ask(gateway, {**GRANT, **PAIR}))[0] == 404
    async with serving(endpoints=declared(vapi=SECRET), vapi_secret="") as other:
        assert (await other.send(method="GET", path="/oauth2/token")).status == 405
        assert (await ask(other, {"x": "y" * 9000}))[0] == 413


def test_a_replaced_table_has_the_clients_and_key_sets_of_its_endpoints() -> None:
    """It does not look for them at each request: there may be 100,000 endpoints."""
    by_url = "{kind: oauth2, jwks_url: 'https://login.example.com/keys', audience: a}"
    by_client = f"{{kind: oauth2, client_id: vapi, client_secret: '{SECRET}'}}"
    table = EndpointTable([endpoint_with(by_url, by_client)])
    [key_set] = table.key_sets
    clients = set(table.token_clients)

    table.replace([endpoint_with(by_client.replace("vapi", "other"))])

    assert key_set.url == "https://login.example.com/keys"
    assert clients == {"vapi"}
    assert (table.key_sets, set(table.token_clients)) == (set(), {"other"})


async def test_a_client_that_waits_before_its_body_is_told_to_go_on() -> None:
    """Some wait with any body until they get `100 Continue`."""
    async with serving(endpoints=declared(vapi=SECRET), vapi_secret="") as gateway:
        url = f"http://127.0.0.1:{gateway.port}/oauth2/token"
        async with gateway.session.post(url, data={**GRANT, **PAIR}, expect100=True) as got:
            assert got.status == 200


def test_a_token_is_valid_as_long_as_its_secret() -> None:
    """Both while one is being replaced; and an expired one is refused."""
    text = f"{{kind: oauth2, client_id: vapi, client_secret: ['{NEW_SECRET}', '{SECRET}']}}"
    both = endpoint_with(text)
    new = endpoint_with(text.replace(f", '{SECRET}'", ""))
    client: Any = both.credentials[0]
    tokens = {
        secret: {"Authorization": f"Bearer {client.client.token(secret.encode(), at_s)[0]}"}
        for secret, at_s in ((SECRET, time.time()), (NEW_SECRET, time.time()))
    }
    expired = client.client.token(SECRET.encode(), time.time() - 3700)[0]

    assert reason(both, tokens[SECRET]) is None
    assert reason(both, tokens[NEW_SECRET]) is None
    assert reason(new, tokens[NEW_SECRET]) is None
    assert reason(new, tokens[SECRET]) == "wrong_token"
    assert reason(both, {"Authorization": f"Bearer {expired}"}) == "wrong_token"
    claims = jwt.decode(expired, options={"verify_signature": False})
    assert claims["aud"] == "ringback:vapi"


@pytest.mark.parametrize(
    ("credential", "problem"),
    [
        ({"client_id": "a", "client_secret": "short"}, "24 characters or more"),
        ({"client_secret": SECRET}, "with client_secret, set client_id and no other field"),
        ({"client_id": "a", "client_secret": SECRET, "audience": "b"}, "and no other field"),
        ({"client_id": "a", "client_secret": SECRET, "jwks_url": "https://a.b/"}, "needs one of"),
        ({"jwks_url": "https://a.b/"}, "audience is required"),
        ({"audience": "a"}, "needs one of"),
    ],
)
def test_a_source_of_keys_needs_its_own_fields(credential: dict[str, str], problem: str) -> None:
    entry = {"org_id": DEFAULT_ORG, "credentials": [{"kind": "oauth2", **credential}]}
    with pytest.raises(DocumentError, match=problem):
        parse_entries(json.dumps({"acme": entry}), Sources({}))


def test_a_client_belongs_to_one_endpoint() -> None:
    """Otherwise its token would open both."""
    entry = json.loads(declared(vapi=SECRET))["vapi"]
    with pytest.raises(DocumentError, match="client_id vapi is declared twice"):
        parse_entries(json.dumps({"a": entry, "b": entry}), Sources({}))
