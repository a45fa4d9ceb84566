#!/bin/sh
# The tests of the handler, tagged JSON, callbacks and replay, on the oldest requirements, on one langchain-core in between
# and on the newest. A version of langchain-core precedes the one in .venv on the path, without its dependencies: only its
# code is under test.
set -eu
cd "$(dirname "$0")/.."

run() {
    PYTHONPATH="$1" .venv/bin/pytest --quiet -p no:cacheprovider -p no:platformdirs -n auto --dist worksteal \
        tests/recorder/test_handler*.py tests/recorder/test_failures.py tests/recorder/test_langchain_quirks.py \
        tests/recorder/test_redaction.py tests/recorder/test_streams.py tests/recorder/test_decisions.py \
        tests/journal/test_tagged_json.py tests/callbacks/test_sinks.py \
        tests/replay/test_chat.py tests/replay/test_text.py tests/replay/test_stream_events.py \
        tests/replay/test_exceptions.py tests/replay/test_mismatch.py tests/replay/test_matching.py \
        tests/replay/test_embeddings.py
}

# The lower bounds of pyproject.toml, all together: `make pins` writes them.
lowest="$PWD/build/lowest-$(cksum <requirements/lowest.txt | cut -d ' ' -f 1)"
test -d "$lowest" || .venv/bin/pip install --quiet --target "$lowest" --require-hashes --requirement requirements/lowest.txt
echo "the oldest requirements"
PYTHONPATH="$lowest" .venv/bin/plsync list --help >/dev/null
run "$lowest"

versions="1.4.9"
if .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    versions="$versions 1.8.2" # needs Python 3.11
fi
for version in $versions; do
    core="$PWD/build/langchain-core-$version"
    test -d "$core" || .venv/bin/pip install --quiet --no-deps --target "$core" "langchain-core==$version"
    echo "langchain-core $version"
    run "$core"
done
