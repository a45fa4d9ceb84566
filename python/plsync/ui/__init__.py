"""``plsync ui``: the journal in the browser, on this machine alone. It needs the extra ``plsync[ui]``.

:mod:`plsync.ui.server` runs it, :mod:`plsync.ui.app` has its routes, and :mod:`plsync.ui.guard` decides which requests
are answered. ``docs/reference/ui-api.md`` describes the API.
"""
