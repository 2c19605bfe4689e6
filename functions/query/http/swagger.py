"""The API's document as a page to read and to try: Swagger UI, all of it served from here."""

from pathlib import Path

import aws_lambda_powertools

from query.http import problems
from query.http.app import RawResponse

# Powertools brings them for its own event handler, which the functions do not use.
ASSETS = Path(aws_lambda_powertools.__file__).parent / "event_handler" / "openapi" / "swagger_ui"
CONTENT_TYPES = {
    "swagger-ui-bundle.min.js": "text/javascript",
    "swagger-ui.min.css": "text/css",
}
# The page may use what comes from here, and nothing else. Swagger UI styles its elements itself.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>similar-titles: the API</title>
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
    """The page itself."""
    return RawResponse(
        "text/html; charset=utf-8", PAGE.encode(), {"Content-Security-Policy": POLICY}
    )


def asset(name: str) -> RawResponse:
    """A file of Swagger UI.

    Raises:
        ProblemError: 404, it has no such file.
    """
    if name not in CONTENT_TYPES:
        raise problems.not_found(f"no file {name} of this page")
    return RawResponse(f"{CONTENT_TYPES[name]}; charset=utf-8", (ASSETS / name).read_bytes())
