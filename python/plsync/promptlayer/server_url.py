"""The checked URL of a PromptLayer server, and the part of it that may be shown."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

import httpx

from plsync._common.redaction import REDACTED
from plsync.errors import SyncError
from plsync.promptlayer.settings import BASE_URL_VARIABLE

__all__ = ["ALLOW_HTTP_VARIABLE", "ServerURL"]

ALLOW_HTTP_VARIABLE: Final = "PLSYNC_ALLOW_HTTP"
# Characters of the shortest segment of a path that may be a token. Shorter ones are names, which reasons may hold.
_SHORTEST_TOKEN: Final = 16
_NOTHING_SENT: Final = "nothing was sent, everything is safe in the journal"


@dataclass(frozen=True)
class ServerURL:
    """A server that plsync may send the API key to."""

    url: httpx.URL

    @classmethod
    def parse(cls, text: str, named_by: str = BASE_URL_VARIABLE) -> ServerURL:
        """The URL of a server.

        Args:
            text: the URL.
            named_by: the setting that names it, for messages.

        Raises:
            SyncError: it is no HTTP URL, or has a query or a fragment. So is an ``http://`` URL of another machine,
                unless ``PLSYNC_ALLOW_HTTP`` is ``1``. The message shows no user name, password, path or query.
        """
        url = _parsed(text)
        if url is None or url.scheme not in {"http", "https"} or not url.host:
            raise SyncError(
                f"{named_by} is {_shown(text)!r}, which is not an http or https URL; {_NOTHING_SENT}: correct it"
            )
        found = cls(url)
        if url.query or url.fragment:
            raise SyncError(
                f"{named_by}, a URL of {found.address}, has a query or a fragment, and plsync adds its paths "
                f"to the URL; {_NOTHING_SENT}: remove the part from '?' or '#'"
            )
        if url.scheme == "http" and not found.is_loopback and os.environ.get(ALLOW_HTTP_VARIABLE, "").strip() != "1":
            raise SyncError(
                f"{named_by} is a URL of {found.address}, another machine, and http would send the API key "
                f"and the prompts unencrypted; {_NOTHING_SENT}: use https, or set {ALLOW_HTTP_VARIABLE}=1"
            )
        return found

    @staticmethod
    def shown_of(text: str) -> str | None:
        """:attr:`shown` of a URL that nothing is sent to; None if it is no URL."""
        url = _parsed(text)
        return None if url is None or not url.host else ServerURL(url).shown

    @property
    def address(self) -> str:
        """Scheme, host and port. The path may hold a token, and reasons with the address are stored and printed."""
        return f"{self.url.scheme}://{self.url.netloc.decode('ascii')}"

    @property
    def identity(self) -> str:
        """The URL without user name and password: two texts of one URL have the same."""
        return self.address + self.path.decode("ascii")

    @property
    def shown(self) -> str:
        """The identity as it may be stored and printed: a segment of the path that may be a token is replaced."""
        segments = (part if len(part) < _SHORTEST_TOKEN else REDACTED for part in self.path.decode("ascii").split("/"))
        return self.address + "/".join(segments)

    @property
    def path(self) -> bytes:
        """The path, percent-encoded, without a slash at its end."""
        return self.url.raw_path.partition(b"?")[0].rstrip(b"/")

    @property
    def is_loopback(self) -> bool:
        """Whether the server is on this machine."""
        host = self.url.host.rstrip(".").lower()
        try:
            found = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return host == "localhost"
        mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
        return (mapped or found).is_loopback

    @property
    def secrets(self) -> tuple[str, ...]:
        """The parts of the URL that may be secret: the password, a token as user name, segments of the path."""
        user, _, password = self.url.userinfo.decode("ascii").partition(":")
        tokens = [part for part in self.url.path.split("/") if len(part) >= _SHORTEST_TOKEN]
        tokens += [unquote(password)] if password else [unquote(user)] if user else []
        return tuple(tokens)


def _parsed(text: str) -> httpx.URL | None:
    try:
        url = httpx.URL(text.strip().rstrip("/"))
        # Each connection encodes the name like this. `api..promptlayer.com` should fail here and not during a run.
        url.host.encode("idna")
    except (httpx.InvalidURL, UnicodeError):
        return None
    return url


def _shown(text: str) -> str:
    """A text that should have been a URL, without user info, path, query and fragment."""
    scheme, separator, rest = text.strip().rpartition("://")
    host = rest.rpartition("@")[2]
    for end in "/?#":
        host = host.partition(end)[0]
    return f"{scheme}{separator}{host}"
