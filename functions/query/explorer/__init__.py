"""The explorer: the page at `/`, one file with its style and its script inline.

It is made from explorer.html, explorer.css and the scripts. A strict CSP allows only its own script
and style, and requests to this API only; it forbids turning text into HTML.
"""

import base64
import hashlib
import json
from functools import cache
from pathlib import Path

from query.http.app import RawResponse
from runs.states import State
from spark.contracts.measures import WORDS

_FOLDER = Path(__file__).parent
# One module, in this order: explorer.js has what the others use, window.js starts the page.
_SCRIPTS = ("explorer", "taste", "map", "runs", "search", "live_run", "window")


@cache
def page() -> RawResponse:
    """The page, read from disk once."""
    html, style = _read("explorer.html"), _read("explorer.css")
    script = "\n".join(_read(f"{name}.js") for name in _SCRIPTS)
    script = _inline(script, "/*IN_PROGRESS*/ []", json.dumps([s for s in State if not s.is_final]))
    script = _inline(script, "/*STATES*/ {}", json.dumps({state: state.label for state in State}))
    script = _inline(script, "/*MEASURES*/ {}", json.dumps(WORDS))
    html = _inline(html, '<link rel="stylesheet" href="explorer.css">', f"<style>{style}</style>")
    html = _inline(
        html,
        '<script type="module" src="explorer.js"></script>',
        f'<script type="module">{script}</script>',
    )
    policy = {
        "default-src": "'none'",
        "script-src": _hash(script),
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
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
    }
    return RawResponse("text/html; charset=utf-8", html.encode(), headers)


def _read(name: str) -> str:
    """A file of this folder."""
    return (_FOLDER / name).read_text(encoding="utf-8")


def _inline(text: str, reference: str, content: str) -> str:
    """A text in which the content replaces its one reference."""
    before, after = text.split(reference)
    return before + content + after


def _hash(text: str) -> str:
    """The CSP source expression that allows exactly this text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
