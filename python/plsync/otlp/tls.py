"""TLS to a collector: the certificates of both sides, and the handshakes that fail for good."""

from __future__ import annotations

import ssl
from typing import Final

import httpx

from plsync.errors import ExportError
from plsync.otlp.environment import setting

__all__ = ["context", "refusal"]

# X509_V_ERR_...: no trusted authority has signed the certificate.
_UNTRUSTED: Final = frozenset({2, 18, 19, 20, 21})
# The other side closed the connection, which may pass.
_CLOSED: Final = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError, ssl.SSLWantReadError)
_PLAIN: Final = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE"})


def context() -> ssl.SSLContext:
    """The trusted authorities, and the certificate of this client.

    Raises:
        ExportError: a file is missing, or has no certificate or key.
    """
    authorities, certificate, key = map(setting, ("CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"))
    if key[1] and not certificate[1]:
        raise ExportError(f"{key[0]} is set without {certificate[0]}; nothing was exported: set both, or none")
    for name, path in (authorities, certificate, key):
        _check(name, path)
    name = "SSL_CERT_FILE"
    try:
        if authorities[1]:
            name = authorities[0]
            made = ssl.create_default_context(cafile=authorities[1])
        else:
            made = httpx.create_ssl_context()
        if certificate[1]:
            name = f"{certificate[0]} or {key[0]}" if key[1] else certificate[0]
            made.load_cert_chain(certificate[1], key[1] or None, password=_refuse_password)
    except OSError as error:
        raise _unusable(name, error) from None
    return made


def _check(name: str, path: str) -> None:
    try:
        if path:
            open(path, "rb").close()
    except OSError as error:
        raise _unusable(name, error) from None


def _refuse_password() -> str:
    # Without this function OpenSSL would wait for a password on the terminal.
    raise OSError(0, "the key is encrypted with a password: write it without one")


def _unusable(name: str, error: OSError) -> ExportError:
    reason = _words(error) if isinstance(error, ssl.SSLError) else error.strerror
    return ExportError(f"the file of {name} cannot be used ({reason or error}); nothing was exported")


def refusal(error: BaseException) -> str | None:
    """Why TLS refuses a connection, with the remedy; None for another error, which a later attempt may not meet.

    Args:
        error: the error of an HTTP client.
    """
    found: BaseException | None = error
    while found is not None and not isinstance(found, ssl.SSLError):
        found = found.__cause__ or found.__context__
    if found is None or isinstance(found, _CLOSED):
        return None
    if isinstance(found, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {found.verify_message or _words(found)}; {_remedy(found.verify_code)}"
    if found.reason in _PLAIN:
        return f"{_words(found)}; a collector without TLS has a URL with http://"
    if "ALERT" in (found.reason or ""):
        certificate, key = (setting(end)[0] for end in ("CLIENT_CERTIFICATE", "CLIENT_KEY"))
        return f"it refuses the handshake: {_words(found)}; {certificate} and {key} name the certificate of this client"
    return _words(found)


def _remedy(verify_code: int) -> str:
    name, path = setting("CERTIFICATE")
    if verify_code not in _UNTRUSTED:
        return "correct the certificate of the collector, or the host of the URL"
    if path:
        return f"the authorities in the file of {name} are trusted, and no others"
    return f"set {name} to the file of its certificate authority"


def _words(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).replace("_", " ").lower()
