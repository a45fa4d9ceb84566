"""Where recorded calls lie: the recording file and its blobs, or a journal."""
