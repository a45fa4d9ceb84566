"""Recorded responses and errors, and the objects that replay restores from them."""
