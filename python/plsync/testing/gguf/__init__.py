"""GGUF files: the container format, and a tiny language model in it."""
