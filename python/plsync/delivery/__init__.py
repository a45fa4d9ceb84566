"""``plsync run``: sends the records of the outbox to PromptLayer, and looks up records in doubt."""
