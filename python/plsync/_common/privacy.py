"""The former home of a function, for a native module that imports it from here."""

from plsync._common.redaction import without_secrets

__all__ = ["without_secrets"]
