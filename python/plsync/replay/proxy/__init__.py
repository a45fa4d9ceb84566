"""Models whose calls replay intercepts."""
