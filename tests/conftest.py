"""What holds for every test."""

import signal

pytest_plugins = ["pytester"]

# A shell that starts the tests in the background has them ignore SIGINT, and their own programs would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
