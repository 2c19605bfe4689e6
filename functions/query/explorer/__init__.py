"""The explorer: the page at `/`, one file that has its style and its program in it.

explorer.html, .css and .js are the three sides of it. Its policy lets the browser run and apply
these alone, ask this API alone, and make no text into HTML.
"""

import base64
import hashlib
from functools import cache
from pathlib import Path

from query.http.app import RawResponse

_FOLDER = Path(__file__).parent


@cache
def page() -> RawResponse:
    """The page; read from disk once."""
    html, style, program = (
        (_FOLDER / f"explorer.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js")
    )
    html = _inline(html, '<link rel="stylesheet" href="explorer.css">', f"<style>{style}</style>")
    html = _inline(
        html,
        '<script type="module" src="explorer.js"></script>',
        f'<script type="module">{program}</script>',
    )
    policy = {
        "default-src": "'none'",
        "script-src": _hash(program),
        "style-src": _hash(style),
        "img-src": "data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    headers = {
        "Content-Security-Policy": "; ".join(f"{what} {who}" for what, who in policy.items()),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
    }
    return RawResponse("text/html; charset=utf-8", html.encode(), headers)


def _inline(html: str, reference: str, content: str) -> str:
    """The page with a reference to a file replaced by what the file says."""
    before, after = html.split(reference)
    return before + content + after


def _hash(text: str) -> str:
    """The source expression that allows just this text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
