"""Decides which requests are answered, and adds the headers of security to each response.

Prompts are secrets. The enemies are other users of this machine, web pages in the browser, and names of other hosts
that resolve to this machine (DNS rebinding). There is no cookie, so a browser adds no authority by itself.
"""

from __future__ import annotations

import contextlib
import hmac
import re
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plsync.ui.answers import error

__all__ = ["CONTENT_SECURITY_POLICY", "Guard"]

CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "media-src blob:",
        "connect-src 'self'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
_HEADERS: Final = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
# A tunnel of SSH may have another port at its other end.
_HOST: Final = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])(?::\d{1,5})?", re.IGNORECASE | re.ASCII)
_API: Final = "/api/"


class Guard:
    """An ASGI application around the page.

    Args:
        app: the page.
        token: the secret that requests to the API must carry.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer or refuse a request. There are no WebSockets."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name for name, _ in message["headers"]}
                added = ((name.encode(), value.encode()) for name, value in _HEADERS.items())
                message["headers"] = [*message["headers"], *(pair for pair in added if pair[0] not in own)]
            await send(message)

        response = self._refusal(scope["method"], scope["path"], Headers(scope=scope)) or self._app
        # The page has reported the exception. Its traceback may hold content, and belongs in no log.
        with contextlib.suppress(Exception):
            await response(scope, receive, send_guarded)

    def _refusal(self, method: str, path: str, headers: Headers) -> Response | None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not _HOST.fullmatch(hosts[0]):
            return error(403, "bad_host", "this page answers at 127.0.0.1, localhost and [::1] alone")
        if method not in ("GET", "HEAD", "POST"):
            return error(405, "method_not_allowed", "this page answers GET, HEAD and POST alone")
        return self._refusal_of_api(method, headers, hosts[0]) if path.startswith(_API) else None

    def _refusal_of_api(self, method: str, headers: Headers, host: str) -> Response | None:
        if not _is_same_origin(headers, host, must_know=method == "POST"):
            return error(403, "bad_origin", "another web page sent this request; send it from the page itself")
        given = headers.getlist("authorization")
        if len(given) != 1 or not hmac.compare_digest(given[0].encode("latin-1"), self._expected):
            refused = error(401, "unauthorized", "open the link that `plsync ui` printed: it holds the token")
            refused.headers["www-authenticate"] = "Bearer"
            return refused
        if method == "POST" and headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return error(415, "bad_request", "send JSON, with content-type: application/json")
        return None


def _is_same_origin(headers: Headers, host: str, *, must_know: bool) -> bool:
    """Whether the page itself sent a request, or no browser did.

    Args:
        headers: of the request.
        host: its host, which is this machine.
        must_know: whether a request without a word about its origin is refused.
    """
    sites, origins = headers.getlist("sec-fetch-site"), headers.getlist("origin")
    if any(site != "same-origin" for site in sites):
        return False
    if any(origin.lower() != f"http://{host.lower()}" for origin in origins):
        return False
    return bool(sites or origins) or not must_know
