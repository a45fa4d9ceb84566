"""The stand-in's data, in memory: spans, logs, follow-ups and prompt templates."""
