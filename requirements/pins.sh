#!/bin/sh
# Writes the requirements of this directory anew: each package in one version, each file with its hash. `make pins` runs it.
set -eu
cd "$(dirname "$0")/.."
pin() {
    out="requirements/$1.txt"
    shift
    {
        echo "# Written by \`make pins\`. Do not edit."
        uv pip compile --quiet --no-header --generate-hashes "$@"
    } >"$out.new"
    mv "$out.new" "$out"
}
# The packages of the workload that the wheel for Linux on x86-64 is optimised with. They run where this wheel is made.
pin profile --python-version 3.12 --python-platform x86_64-manylinux2014 --only-binary :all: pyproject.toml
# The oldest direct requirements: a known vulnerability in one of them is one that plsync admits.
pin lowest --python-version 3.10 --universal --resolution lowest-direct --extra jinja2 --extra prometheus --extra ui pyproject.toml
# The tools that build the site, and the tools of the audit.
pin docs --python-version 3.11 --universal --group docs
pin audit --python-version 3.12 --universal requirements/audit.in
