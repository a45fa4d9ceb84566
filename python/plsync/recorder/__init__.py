"""The LangChain handler, which runs inside the user's call and opens no socket and no LMDB."""
