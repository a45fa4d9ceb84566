"""A record in a form for people: the parts of its messages, its media, and a page in HTML."""
