"""Servers on loopback that answer as the APIs of providers do."""
