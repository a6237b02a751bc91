"""Rules for the manifests beyond the API server's."""

from collections.abc import Callable, Iterator
from ipaddress import ip_address, ip_network

import pytest

from ringback.runtime.outgoing.addresses import is_public
from ringback.services.gateway.endpoints.endpoint import PATH
from ringback.services.gateway.endpoints.token_endpoint import TOKEN_PATH
from tests.deploy.policies import pods, reach, references, settings
from tests.deploy.rendered import (
    COMPONENTS,
    OVERLAYS,
    Manifest,
    Manifests,
    component,
    name_of,
    overlay,
)

Policy = Callable[[Manifests], Iterator[str]]

OF_PODS: tuple[Policy, ...] = (
    pods.namespaces_are_restricted,
    pods.without_service_links,
    pods.probes,
    reach.services_of_stateful_sets,
    reach.both_families,
    reach.spread,
    reach.budgets,
    reach.network,
    reach.scalers,
    settings.names,
    settings.values,
    settings.grace_periods,
    settings.listening,
    settings.paths,
    settings.disks,
)
#: For a complete overlay: a component alone names objects of others.
OF_A_WHOLE: tuple[Policy, ...] = (
    reach.selectors,
    reach.both_ends,
    references.variables,
    references.files,
    references.operators_secrets,
    references.ports,
)


@pytest.mark.parametrize("name", OVERLAYS)
@pytest.mark.parametrize("policy", OF_PODS + OF_A_WHOLE, ids=lambda policy: policy.__name__)
def test_an_overlay_follows_the_policy(policy: Policy, name: str) -> None:
    assert [*policy(overlay(name))] == []


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_component_follows_the_policies(name: str) -> None:
    """With only the base: it can be used without the others."""
    manifests = component(name)

    assert [text for policy in OF_PODS for text in policy(manifests)] == []


PUBLIC = ("93.184.216.34", "2606:2800:220:1::1", "64:ff9b::93.184.216.34")
PRIVATE = (
    *("10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "169.254.169.254"),
    *("fd00::1", "fe80::1", "64:ff9b:1::10.0.0.1", "::ffff:10.0.0.1", "2002:a00:1::1", "2001::1"),
    *("64:ff9b::10.0.0.1", "64:ff9b::172.16.0.1", "64:ff9b::192.168.0.1", "64:ff9b::100.64.0.1"),
    *("64:ff9b::127.0.0.1", "64:ff9b::169.254.169.254"),
)


@pytest.mark.parametrize(
    ("address", "is_open"), [*((one, True) for one in PUBLIC), *((one, False) for one in PRIVATE)]
)
def test_only_public_addresses_are_reached(address: str, *, is_open: bool) -> None:
    """By Slack's client, by gateways for questions and keys, and by processors for forwards."""

    def ports(manifests: Manifests, name: str = "gateway") -> list[int]:
        [policy] = [one for one in manifests if name_of(one) == f"NetworkPolicy/{name}"]
        return [
            port["port"]
            for rule in policy["spec"]["egress"]
            if any(contains(peer["ipBlock"], address) for peer in rule["to"] if "ipBlock" in peer)
            for port in rule["ports"]
        ]

    assert is_public(ip_address(address)) is is_open
    assert ports(component("endpoints-file")) == [443] * is_open
    assert ports(component("forwards"), "processor") == [443] * is_open
    assert ports(component("keda"), "metrics") == [443] * is_open
    assert ports(component("keda")) == []


def contains(block: Manifest, address: str) -> bool:
    inside = [ip_address(address) in ip_network(one) for one in (block["cidr"], *block["except"])]
    return inside[0] and not any(inside[1:])


def test_the_ingress_routes_every_path_of_the_gateway() -> None:
    [ingress] = [one for one in component("ingress-tls") if one["kind"] == "Ingress"]
    paths = {one["path"]: one["pathType"] for one in ingress["spec"]["rules"][0]["http"]["paths"]}

    assert paths == {PATH: "Prefix", TOKEN_PATH: "Exact"}
