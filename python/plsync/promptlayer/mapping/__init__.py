"""The mapping of a record to PromptLayer's form. No module here opens a connection."""
