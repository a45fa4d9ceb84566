"""The former home of two functions, for a native module that imports them from here."""

from plsync._common.redaction import names_a_secret, without_credentials

__all__ = ["names_a_secret", "without_credentials"]
