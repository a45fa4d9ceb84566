"""Proxies of models: they intercept calls, and serve or record them."""
