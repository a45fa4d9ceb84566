"""A language model small enough to write in a test: 0.3 MB, no download, no training, real inference.

>>> import tempfile
>>> from plsync.testing.tiny_model import write_tiny_model
>>> with tempfile.TemporaryDirectory() as directory:
...     model = write_tiny_model(directory + "/tiny.gguf")
...     model.read_bytes()[:4]
b'GGUF'
"""

from __future__ import annotations

from plsync.testing.gguf.tiny_model import ANSWERS, DEFAULT, write_tiny_model

__all__ = ["ANSWERS", "DEFAULT", "write_tiny_model"]
