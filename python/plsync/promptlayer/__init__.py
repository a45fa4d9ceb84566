"""PromptLayer's own forms: what a record looks like there. Nothing here opens a connection."""
