"""The address of a sender behind declared proxies, and who may not forge it."""

import json
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.runtime.outgoing.addresses import parse_networks
from ringback.services.gateway.endpoints.networks import sender_address
from tests.support.gateway_client import DEFAULT_ORG, PATH, SECRET, assert_problem
from tests.unit.gateway.serving import serving

VAPI = "167.150.224.7"


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "proxies", "expected"),
    [
        (VAPI, [], "", VAPI),
        (VAPI, ["1.2.3.4"], "", VAPI),
        ("10.0.0.1", [VAPI], "10.0.0.0/8", VAPI),
        ("10.0.0.1", [f"{VAPI}, 10.0.0.2"], "10.0.0.0/8", VAPI),
        ("10.0.0.1", [VAPI, "10.0.0.2"], "10.0.0.0/8", VAPI),
        ("10.0.0.1", [f"1.2.3.4, {VAPI}"], "10.0.0.0/8", VAPI),
        ("10.0.0.1", [f"{VAPI}, 1.2.3.4"], "10.0.0.0/8", "1.2.3.4"),
        ("10.0.0.1", [f"{VAPI}:4711"], "10.0.0.0/8", VAPI),
        ("::ffff:10.0.0.1", ["[2001:db8::7]:4711"], "10.0.0.0/8", "2001:db8::7"),
        ("fd00::1", ["2001:db8::7"], "fd00::/8,10.0.0.0/8", "2001:db8::7"),
        ("10.0.0.1", [f"{VAPI}, unknown"], "10.0.0.0/8", None),
        ("10.0.0.1", [f"{VAPI},"], "10.0.0.0/8", None),
        ("10.0.0.1", [], "10.0.0.0/8", "10.0.0.1"),
        (None, [VAPI], "10.0.0.0/8", None),
    ],
)
def test_only_declared_proxies_say_where_a_request_comes_from(
    peer: str | None, forwarded_for: list[str], proxies: str, expected: str | None
) -> None:
    """Each for the one hop before it."""
    found = sender_address(peer, forwarded_for, parse_networks(proxies))

    assert found == (expected and ip_address(expected))


@given(forged=st.lists(st.text(max_size=30), max_size=4))
def test_a_sender_cannot_forge_its_address(forged: list[str]) -> None:
    """Whatever it writes into the header before a proxy appends its real address."""
    proxies = parse_networks("10.0.0.0/8")

    assert sender_address("10.0.0.1", [*forged, VAPI], proxies) == ip_address(VAPI)


@pytest.mark.parametrize(
    ("forwarded_for", "status"), [(VAPI, 200), ("1.2.3.4", 403), (f"{VAPI}, 1.2.3.4", 403)]
)
async def test_other_networks_are_refused(forwarded_for: str, status: int) -> None:
    """Also with the right secret; the operator sees the reason, the sender does not."""
    acme = {"org_id": DEFAULT_ORG, "secret": SECRET, "networks": ["167.150.224.0/23"]}
    async with serving(
        endpoints=json.dumps({"acme": acme}), trusted_proxies="127.0.0.0/8"
    ) as gateway:
        answer = await gateway.send(
            b'{"type": "hang"}', path=f"{PATH}/acme", headers={"X-Forwarded-For": forwarded_for}
        )
        refused = gateway.metric("webhook_rejected_total", endpoint="acme", reason="wrong_network")

    assert answer.status == status
    assert refused == (status == 403)
    if status == 403:
        assert_problem(answer, 403, "may not use")
