"""Records on their way to PromptLayer: sending, looking up what is in doubt, and handing the request ids back.

What becomes of a record after each kind of answer is one table: :mod:`plsync.sync.policy`.
"""
