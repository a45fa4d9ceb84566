"""The proxy of the environment for one server, by the rules of curl.

The variables are ``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY``, in either case. Only the variable
that holds for the server is parsed, so that another one cannot stop delivery.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import re
import ssl
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote
from urllib.request import getproxies

import httpcore
import httpx

from plsync.errors import SyncError

__all__ = ["bypasses", "make_pool", "proxy_of_environment"]

_HTTP: Final = frozenset({"http", "https"})
_SOCKS: Final = frozenset({"socks5", "socks5h"})
_SEPARATORS: Final = re.compile(r"[\s,]+")


def proxy_of_environment(url: httpx.URL) -> httpx.Proxy | None:
    """The proxy for requests to a server; None for a direct connection.

    Raises:
        SyncError: the variable of the proxy has a value that cannot be used. The message names the variable.
    """
    proxies = getproxies()
    scheme = next((name for name in (url.scheme, "all") if proxies.get(name, "").strip()), None)
    if scheme is None or bypasses(proxies.get("no", ""), url):
        return None
    return _parse(proxies[scheme].strip(), _variable(scheme))


def bypasses(no_proxy: str, url: httpx.URL) -> bool:
    """Whether ``NO_PROXY`` names the server of a URL. An entry without a meaning names no server.

    An entry is ``*``, a domain, an address, or a network such as ``10.0.0.0/8``. A domain names its subdomains too, and
    may begin with a dot or ``*.``. An entry may have a scheme, a port and brackets. Commas and spaces separate entries.

    >>> bypasses("fe80::/10, .example.com", httpx.URL("https://api.example.com"))
    True
    """
    return any(_names(entry.lower(), url) for entry in _SEPARATORS.split(no_proxy) if entry)


def make_pool(proxy: httpx.Proxy | None, context: ssl.SSLContext, **settings: Any) -> httpcore.ConnectionPool:
    """A pool of connections, direct ones or through a proxy.

    Args:
        proxy: the proxy; None for direct connections.
        context: the certificate authorities for servers and proxies.
        settings: further arguments of ``httpcore.ConnectionPool``.
    """
    if proxy is None:
        return httpcore.ConnectionPool(ssl_context=context, **settings)
    address = httpcore.URL(
        scheme=proxy.url.raw_scheme, host=proxy.url.raw_host, port=proxy.url.port, target=proxy.url.raw_path
    )
    if proxy.url.scheme in _SOCKS:
        return httpcore.SOCKSProxy(address, proxy_auth=proxy.raw_auth, ssl_context=context, **settings)
    settings["proxy_ssl_context"] = context if proxy.url.scheme == "https" else None
    return httpcore.HTTPProxy(address, proxy_auth=proxy.raw_auth, ssl_context=context, **settings)


def _parse(value: str, variable: str) -> httpx.Proxy:
    scheme, separator, rest = value.partition("://")
    if not separator:
        scheme, rest = "http", value
    scheme = scheme.lower()
    problem = "is not the URL of a proxy"
    if scheme not in _HTTP | _SOCKS:
        problem = f"names a proxy of the kind {scheme!r}, and plsync uses http, https, socks5 and socks5h"
    elif scheme in _SOCKS and importlib.util.find_spec("socksio") is None:
        problem = "names a SOCKS proxy, which needs the package socksio: run `pip install 'httpx[socks]'`"
    else:
        authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
        user_info, at, server = authority.rpartition("@")
        try:
            # A password may hold characters that a URL cannot, and curl accepts them.
            proxy = httpx.Proxy(f"{scheme}://{quote(user_info, safe='%:')}{at}{server}")
            if proxy.url.host:
                return proxy
        except (httpx.InvalidURL, ValueError):
            pass
    raise SyncError(
        f"{variable} {problem}; nothing was sent, everything is safe in the journal: correct {variable}, or unset it"
    )


def _variable(scheme: str) -> str:
    """The name of the variable that sets a proxy, as the environment spells it."""
    name = f"{scheme}_proxy"
    return next((spelled for spelled in (name, name.upper()) if os.environ.get(spelled)), name.upper())


def _names(entry: str, url: httpx.URL) -> bool:
    scheme, separator, rest = entry.rpartition("://")
    if separator and scheme not in {"all", url.scheme}:
        return False
    rest = rest.rstrip("/")
    return rest == "*" or any(
        _names_host(host, url) for host, port in _hosts_and_ports(rest) if port is None or port == _port(url)
    )


def _hosts_and_ports(text: str) -> Iterator[tuple[str, int | None]]:
    """The readings of an entry as a host and a port: an IPv6 address also ends in a colon and digits."""
    yield text.removeprefix("[").removesuffix("]") if text.endswith("]") else text, None
    host, colon, port = text.rpartition(":")
    # A longer number is no port.
    if colon and port.isascii() and port.isdecimal() and len(port) <= 5 and (":" not in host or host.endswith("]")):
        yield host.removeprefix("[").removesuffix("]"), int(port)


def _names_host(entry: str, url: httpx.URL) -> bool:
    address = _address(url.host)
    if address is not None:
        try:
            network = ipaddress.ip_network(entry.partition("%")[0], strict=False)
        except ValueError:
            bare, slash, bits = entry.replace("[", "").partition("]")
            return bool(slash) and bits.startswith("/") and _names_host(bare + bits, url)
        return address in network
    domain = entry.removeprefix("*").strip(".")
    hosts = {url.host.rstrip(".").lower(), url.raw_host.decode("ascii", "replace").rstrip(".").lower()}
    return bool(domain) and any(host == domain or host.endswith(f".{domain}") for host in hosts)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


def _port(url: httpx.URL) -> int:
    return url.port or (443 if url.scheme == "https" else 80)
