"""Rules for the manifests beyond the API server's, and tests that each violation is found."""

import copy

import pytest

from tests.deploy.broken import BROKEN, Break, Policy
from tests.deploy.policies import pods, reach, references, settings
from tests.deploy.rendered import (
    COMPONENTS,
    OVERLAYS,
    component,
    name_of,
    overlay,
)

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
    """As it is applied."""
    assert [*policy(overlay(name))] == []


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_component_follows_the_policies(name: str) -> None:
    """With only the base: it can be used without the others."""
    manifests = component(name)

    assert [text for policy in OF_PODS for text in policy(manifests)] == []


@pytest.mark.parametrize(
    ("policy", "name", "breaks", "expected"),
    BROKEN,
    ids=[f"{policy.__name__}-{expected}".replace(" ", "_") for policy, _, _, expected in BROKEN],
)
def test_a_violation_is_found(policy: Policy, name: str, breaks: Break, expected: str) -> None:
    """One change in one manifest, and the policy names it."""
    manifests = copy.deepcopy(overlay("production"))
    [broken] = [one for one in manifests if name_of(one) == name]

    breaks(broken)

    assert any(expected in text for text in policy(manifests)), [*policy(manifests)]


def test_each_policy_has_a_violation() -> None:
    """A policy that nothing violates may check nothing."""
    assert {policy for policy, *_ in BROKEN} == {*OF_PODS, *OF_A_WHOLE}
