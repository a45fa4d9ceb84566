"""The mapping of a record to PromptLayer's format. No module of this package opens a connection."""
