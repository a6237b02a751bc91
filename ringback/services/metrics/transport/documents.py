"""What REST serves without a token: the OpenAPI document, and a page to read and try it.

The page is Swagger UI, from a package of PyPI. It loads nothing from another origin, and its policy
(CSP) lets no other script run. It needs no token; the calls that someone makes with it do.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

OPENAPI_PATH = "/openapi.json"
PAGE_PATH = "/docs"


@dataclass(frozen=True, slots=True)
class Document:
    body: bytes = field(repr=False)
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)


# Swagger UI sets styles in attributes, and has images in its style sheet.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_PAGE_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}
# The addresses are relative, so that the page also works below a path of a proxy.
_PAGE = b"""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Ringback metrics API</title>
<link rel="icon" href="docs/favicon.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="api"></div>
<script src="docs/swagger-ui.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
_START = b"""\
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#api",
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  validatorUrl: null,
});
"""
_ASSETS = {
    "swagger-ui.css": ("swagger-ui.css", "text/css"),
    "swagger-ui.js": ("swagger-ui-bundle.js", "text/javascript"),
    "favicon.png": ("favicon-32x32.png", "image/png"),
}


@cache
def documents() -> Mapping[str, Document]:
    """The documents by their paths."""
    openapi = files("ringback.metrics.v1").joinpath("openapi.json").read_bytes()
    # Its only folder has the version in its name.
    [swagger_ui] = files("swagger_ui_bundle").joinpath("vendor").iterdir()
    assets = {
        f"{PAGE_PATH}/{name}": Document(swagger_ui.joinpath(file).read_bytes(), kind)
        for name, (file, kind) in _ASSETS.items()
    }
    return {
        OPENAPI_PATH: Document(openapi, "application/json"),
        PAGE_PATH: Document(_PAGE, "text/html; charset=utf-8", _PAGE_HEADERS),
        f"{PAGE_PATH}/start.js": Document(_START, "text/javascript"),
        **assets,
    }
