"""Reads arbitrary bytes as a recording, guided by coverage: only errors of plsync are raised.

``make fuzz`` runs it with arguments of libFuzzer. The first bytes of an input choose the form of the use.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["plsync"]):
    from plsync.errors import PlsyncError
    from plsync.replay.response.restore import first_inexact
    from plsync.replay.storage.file import RecordingFile
    from plsync.replay.storage.recorded_call import RecordedCall

HEADER = b'{"plsync":"recording","format":1}\n'
SEEDS = (
    b'{"key":"752c984021568dfe","kind":"chat","model":null,"class":"Chat","request":{"messages":[]},"answer":'
    b'{"generations":[{"$":"ChatGeneration","v":{"message":{"$":"AIMessage","v":{"content":"yes","id":"a"}}}}]},"ms":[0]}',
    b'{"key":"752c984021568dfe","kind":"llm","model":"m","class":"Text","request":{"prompt":"a"},"answer":'
    b'{"chunks":[{"$":"GenerationChunk","v":{"text":"a"}},"b","c"],"stopped":true},"ms":[1,2,3]}',
    b'{"key":"752c984021568dfe","kind":"chat","request":{},"answer":{"chunks":[{"$":"ChatGenerationChunk","v":{"message":'
    b'{"$":"AIMessageChunk","v":{"content":[{"type":"text","text":"a"}]}}}}," b"]},"ms":[1]}',
    b'{"key":"752c984021568dfe","kind":"chat","request":{},"answer":{"error":{"class":"builtins:KeyError","bases":'
    b'["builtins:LookupError"],"message":"a","args":["a"],"attributes":{"a":{"$":"uuid","v":"0"}},"cause":{"class":"a:B"}}}}',
    b'{"request":{},"answer":{"generations":[{"$":"tuple","v":[{"$":"set","v":[1]},{"$":"dict","v":[[1,2]]},{"$":"int","v":"9"},'
    b'{"$":"datetime","v":"2026-01-01","tz":"Europe/Berlin"},{"$":"timedelta","v":[1,2,3]},{"$":"decimal","v":"1"},'
    b'{"$":"as","c":"a:B","v":{"a":1}},{"$":"repr","v":"a"},{"$":"str","v":"7aCA"},{"$":"blob","v":"sha256-"}]}]}}',
)
USES = (
    "error",
    "chat_result",
    "chat_chunks",
    "generations",
    "text_chunks",
    "tokens",
    "llm_output",
    "delays",
    "message_id",
)

DIRECTORY = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))


def read(data: bytes) -> None:
    """Read the bytes as the lines of a recording, and use each call in one form."""
    path = DIRECTORY / "calls.jsonl"
    path.write_bytes(data[1:] if data[:1] == b"\0" else HEADER + data[1:])
    file = RecordingFile(path)
    try:
        lines = file.read()
        list(file.keys())
    except PlsyncError:
        return
    for number, line in enumerate(lines):
        call = RecordedCall(f"line {number}", line, str(path))
        try:
            first_inexact(call.data["answer"])
            response = call.response(file.load_blob, new_ids=bool(data[0] & 1))
            found = getattr(response, USES[data[0] % len(USES)])
            if callable(found):
                list(found(3) if found.__name__ == "delays" else found() or ())
        except PlsyncError as error:
            str(error)
        except TypeError as error:
            # A recorded exception is no list.
            if "not iterable" not in str(error) or "Restorer" in str(error):
                raise


def main() -> None:
    """Run libFuzzer, first on the seeds."""
    corpus = Path(sys.argv[-1])
    for number, seed in enumerate(SEEDS):
        for use in range(1, len(USES) + 1):
            (corpus / f"seed-{number}-{use}").write_bytes(bytes([use]) + seed + b"\n")
    atheris.Setup(sys.argv, read)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
