"""Where somebody is led after signing in."""

import pytest

from ringback.services.metrics.console.sign_in import return_path

BASE = "/ops/ringback"


@pytest.mark.parametrize(
    "wanted",
    [
        BASE,
        f"{BASE}/",
        f"{BASE}?done=retried",
        f"{BASE}/failures?type=hang&since=2026-01-01T00%3A00%3A00Z#top",
        f"{BASE}/calls/a%2Fb..c",
        f"{BASE}/search?q=//evil.example",
    ],
)
def test_a_page_of_the_console(wanted: str) -> None:
    assert return_path(BASE, wanted) == wanted


@pytest.mark.parametrize(
    "wanted",
    [
        "",
        "/",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "https://evil.example/ops/ringback",
        "javascript:alert(1)",
        "/%2fevil.example",
        "/ops/ringbackup",
        "/ops",
        f"{BASE}//evil.example",
        f"{BASE}/../evil",
        f"{BASE}/..//evil.example",
        f"{BASE}/%2e%2E/evil",
        f"{BASE}/.%2e",
        f"{BASE}/a/./b",
        f"{BASE}\\..\\evil",
        f"{BASE}/\\evil.example",
        f"\t{BASE}",
        f"{BASE}/\r\nSet-Cookie: a=b",
        f"{BASE}/ü",
        f"{BASE}/{'a' * 2000}",
        f"//evil.example{BASE}",
    ],
)
def test_every_other_address_leads_to_the_first_page(wanted: str) -> None:
    """Also those that a browser resolves to another server or another path."""
    assert return_path(BASE, wanted) == BASE
