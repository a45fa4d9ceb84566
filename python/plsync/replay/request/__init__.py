"""Requests in the canonical form in which replay compares, stores and shows them."""
