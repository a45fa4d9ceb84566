#!/bin/sh
# The tests of the handler, its codec and its callbacks, and of replay, on the first langchain-core we support, one in
# between and the newest. Each is laid in front of the one in .venv, without its dependencies: its own code is what is
# under test.
set -eu
cd "$(dirname "$0")/.."
versions="1.0.0 1.4.9"
if .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    versions="$versions 1.8.2" # needs Python 3.11
fi
for version in $versions; do
    core="$PWD/build/langchain-core-$version"
    test -d "$core" || .venv/bin/pip install --quiet --no-deps --target "$core" "langchain-core==$version"
    echo "langchain-core $version"
    PYTHONPATH="$core" .venv/bin/pytest --quiet -p no:cacheprovider -n auto \
        tests/test_handler*.py tests/test_decisions.py tests/test_codec.py tests/test_sinks.py \
        tests/test_replay_chat.py tests/test_replay_text.py tests/test_replay_events.py tests/test_replay_errors.py \
        tests/test_replay_misses.py tests/test_replay_matching.py
done
