"""Delivers request ids to the program: finds each callback, and calls it at least once."""
