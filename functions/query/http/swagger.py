"""Swagger UI: the OpenAPI document as a page, with all its files served by this API."""

from pathlib import Path

import aws_lambda_powertools

from query.http import problems
from query.http.app import RawResponse

# Powertools ships them for its own event handler, which the functions do not use.
ASSETS = Path(aws_lambda_powertools.__file__).parent / "event_handler" / "openapi" / "swagger_ui"
CONTENT_TYPES = {
    "swagger-ui-bundle.min.js": "text/javascript",
    "swagger-ui.min.css": "text/css",
}
# Swagger UI sets styles from its script, so these must be allowed inline.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>API documentation</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.min.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.min.js"></script>
<script>
SwaggerUIBundle({
  url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null
});
</script>
</body>
</html>
"""


def page() -> RawResponse:
    """The page at `docs`, beside `openapi.json`."""
    headers = {"Content-Security-Policy": POLICY}
    return RawResponse("text/html; charset=utf-8", PAGE.encode(), headers)


def asset(name: str) -> RawResponse:
    """A file of the page.

    Raises:
        ProblemError: 404, the page has no such file.
    """
    if name not in CONTENT_TYPES:
        raise problems.not_found(f"no file {name}")
    return RawResponse(f"{CONTENT_TYPES[name]}; charset=utf-8", (ASSETS / name).read_bytes())
