"""Helpers for all layers: clock, paths, background threads, redaction, the API key. Private to plsync."""
