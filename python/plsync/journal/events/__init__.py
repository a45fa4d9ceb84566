"""Events as the journal stores them: tagged JSON, and the facts in it."""
