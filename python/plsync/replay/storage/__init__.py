"""Where recorded calls are stored: a recording's file, or a journal."""
