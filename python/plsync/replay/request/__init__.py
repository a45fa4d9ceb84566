"""Requests to models as replay compares them."""
