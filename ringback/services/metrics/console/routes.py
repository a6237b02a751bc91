"""All pages of the console."""

from ringback.services.metrics.console.page import Route
from ringback.services.metrics.console.pages import (
    call,
    changes,
    endpoints,
    failures,
    now,
    runs,
    search,
    webhook,
)

ROUTES: tuple[Route, ...] = (
    *now.ROUTES,
    *failures.ROUTES,
    *search.ROUTES,
    *runs.ROUTES,
    *webhook.ROUTES,
    *call.ROUTES,
    *changes.ROUTES,
    *endpoints.ROUTES,
)
