"""What the stand-in keeps, in memory: spans, logs and what is attached to them, and prompt templates."""
