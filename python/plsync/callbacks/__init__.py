"""Request ids on their way back: finds the application's callbacks and calls each at least once."""
