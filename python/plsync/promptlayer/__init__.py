"""PromptLayer: its HTTP API, and the mapping of a record to its form."""
