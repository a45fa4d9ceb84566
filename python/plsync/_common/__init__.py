"""What every layer uses: clock, paths, background threads, redaction. Private to plsync."""
