"""The emulator, with what reaches it over loopback taken as encrypted.

The template closes its buckets to whoever comes without TLS. Nothing of loopback leaves the
machine, and a certificate would have to be trusted by every client first. A client that says
otherwise by X-Forwarded-Proto is taken at its word.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import ministack.app

_emulator = ministack.app.app


async def _as_encrypted(
    scope: dict[str, Any], receive: Callable[..., Awaitable[Any]], send: Callable[..., Any]
) -> None:
    """The emulator's ASGI application, as if it stood behind a gateway that ends TLS."""
    headers = scope.get("headers", [])
    if scope["type"] == "http" and all(name != b"x-forwarded-proto" for name, _ in headers):
        scope = scope | {"headers": [*headers, (b"x-forwarded-proto", b"https")]}
    await _emulator(scope, receive, send)


if __name__ == "__main__":
    ministack.app.app = _as_encrypted
    ministack.app.main()
