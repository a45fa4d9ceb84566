"""Helpers for all layers: clock, paths, background threads, redaction. Private to plsync."""
