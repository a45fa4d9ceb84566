#!/bin/sh
# The tests of the handler, tagged JSON, callbacks and replay run with two other versions of langchain-core, the oldest and one in
# between: .venv has the newest. Trees, the help and the errors of usage run on the oldest requirements. The layout of typer and
# click differs between their versions. A version of langchain-core precedes the one in .venv on the path, without its
# dependencies: only its code is under test.
set -eu
cd "$(dirname "$0")/.."

# The oldest typer warns about the newest click.
old_typer="ignore:'click.:DeprecationWarning"
help="tests/cli/test_help.py"
errors="tests/cli/test_usage_errors.py"

run() {
    path="$1"
    shift
    PYTHONPATH="$path" PYTHONWARNINGS="$old_typer" .venv/bin/pytest --quiet -W "$old_typer" -p no:cacheprovider \
        -p no:platformdirs -n logical --dist worksteal "$@" \
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
# Versions that accept the oldest langchain-core.
agents="$PWD/build/agents-1.0.5"
test -d "$agents" || .venv/bin/pip install --quiet --no-deps --target "$agents" \
    langchain==1.2.0 langgraph==1.0.5 langgraph-prebuilt==1.0.5 langgraph-checkpoint==3.0.1 langgraph-sdk==0.3.0
echo "the oldest requirements"
run "$agents:$lowest" tests/recorder/test_tree*.py tests/journal/test_trees.py \
    "$help::test_help_lists_every_command" "$help::test_the_examples_of_a_command_can_be_run" \
    "$help::test_the_help_of_a_command_has_the_same_form_with_every_version_of_typer" \
    "$errors::test_a_bad_value_is_reported_with_its_option" "$errors::test_an_option_without_its_value_is_reported" \
    "$errors::test_a_flag_with_a_value_is_reported" "$errors::test_an_unknown_option_is_reported_with_similar_ones" \
    "$errors::test_a_surplus_argument_is_reported" "$errors::test_other_errors_have_the_same_form" \
    "$errors::test_a_terminal_gets_the_same_line"

version=1.4.9
core="$PWD/build/langchain-core-$version"
test -d "$core" || .venv/bin/pip install --quiet --no-deps --target "$core" "langchain-core==$version"
echo "langchain-core $version"
run "$core"
