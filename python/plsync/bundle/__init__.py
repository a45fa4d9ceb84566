"""Bundles: signed files that a person carries between a machine without a network and one with a network."""
