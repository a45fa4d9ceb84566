"""Helpers of the tests: models, servers, journals and processes."""
