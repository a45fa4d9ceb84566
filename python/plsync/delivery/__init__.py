"""``plsync run``: sends the outbox to PromptLayer, and looks up the records that are in doubt."""
