"""PromptLayer's HTTP API, and the mapping of records to its format."""
