# Everything runs from a bare clone: it needs make, cargo and Python 3.10 or newer with venv.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python3.10; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
BENCH := build/bench/bin
RUST := Cargo.toml Cargo.lock $(shell find rust -type f)

# One interpreter for all builds of the bindings: with another one cargo compiles pyo3 anew. cargo finds no jobs of make.
PYO3 := MAKEFLAGS= PYO3_PYTHON=$(CURDIR)/$(BIN)/python
# Rust tests and clippy share a profile with the module, so the crates of other projects are built once.
CHECKED := --config rust/checked.toml --profile editable
HAS_LIBRARY := import os, sysconfig; find = sysconfig.get_config_var; exit(not os.path.exists(os.path.join(find("LIBDIR"), find("LDLIBRARY"))))

.PHONY: demo test test-rust test-python compat clients fleet crash browser fuzz miri lint lint-rust lint-python lint-ui ui prose format bench peers docs pins screenshot clean
.DELETE_ON_ERROR:

demo: .venv/built
	@$(BIN)/python demo/main.py

test: test-python test-rust

test-python: .venv/compiled
	$(BIN)/pytest -n auto --dist worksteal

# The unit tests of the bindings link Python's library, which some Pythons lack.
test-rust: .venv/module
	@packages='--package plsync-bundle --package plsync-journal'; \
	if $(BIN)/python -c '$(HAS_LIBRARY)'; then packages="$$packages --package plsync-python"; fi; \
	echo cargo test --quiet $$packages; $(PYO3) cargo test --quiet $(CHECKED) $$packages

compat: .venv/compiled
	tests/compat.sh

# Every client in docs/reference/clients.md, in an environment that also sees the packages of .venv.
clients: build/clients/made
	build/clients/bin/python -m pytest -p no:cacheprovider tests/clients

build/clients/made: .venv/built tests/clients/requirements.txt
	$(BIN)/python -m venv --clear build/clients
	echo "import site; site.addsitedir('$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')')" \
		>"$$(build/clients/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/dev.pth"
	build/clients/bin/pip install --quiet --requirement tests/clients/requirements.txt
	@touch $@

# The lake in Apache Spark, with two executors, and spans in a real collector, sent and in a file. Needs Java 17 and Go 1.26, or newer ones.
fleet: build/fleet/made build/fleet/collector
	build/fleet/bin/python -m pytest -p no:cacheprovider tests/fleet

build/fleet/made: .venv/built tests/fleet/requirements.txt
	$(BIN)/python -m venv --clear build/fleet
	echo "import site; site.addsitedir('$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')')" \
		>"$$(build/fleet/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/dev.pth"
	build/fleet/bin/pip install --quiet --requirement tests/fleet/requirements.txt
	@touch $@

build/fleet/collector: build/fleet/made $(wildcard tests/fleet/collector/*)
	cd tests/fleet/collector && go build -o $(CURDIR)/$@ .
	@touch $@

# The long form of the crash tests, which docs/internals/testing.md describes.
crash: .venv/built
	PLSYNC_HOSTILE=1000 $(BIN)/pytest -n auto tests/cli/test_hostile_journals.py tests/replay/test_hostile_recordings.py
	PLSYNC_TREES=10000 PLSYNC_TREE_KILLS=100 $(BIN)/pytest tests/delivery/test_random_trees.py
	PLSYNC_TREE_SOAK=100000 $(BIN)/pytest tests/recorder/test_tree_memory.py
	PLSYNC_SOAK_RECORDS=10000 PLSYNC_SOAK_KILLS=40 PLSYNC_OFFLINE_SECONDS=60 $(BIN)/pytest tests/delivery/test_soak.py tests/project/test_no_network.py
	PLSYNC_FULL_DISKS=1 $(BIN)/pytest tests/journal/test_full_disk.py tests/bundle/test_full_media.py
	PLSYNC_EXAMPLES=10 $(BIN)/pytest -n auto --timeout 900 -m hypothesis
	PLSYNC_LIMITS=100 $(BIN)/pytest -n auto tests/journal/test_limits.py
	PLSYNC_TEST_WORLDS=2000 PLSYNC_TEST_WORLD_EVENTS=140 PLSYNC_BUNDLE_KILLS=2000 $(BIN)/pytest -n auto tests/bundle/test_worlds.py tests/bundle/test_kills.py
	PLSYNC_IMAGES=2000 PLSYNC_FAULTS=1000000 PLSYNC_FLIPS=20000 PLSYNC_SALVAGES=3000 PLSYNC_KILL_ROUNDS=2000 PROPTEST_CASES=4000 \
		$(PYO3) cargo test $(CHECKED) --package plsync-journal --test crash --test golden --test kill --test model --test followups_model --test salvage

# Each page of `plsync ui` in each width and theme, and new pictures in docs/images; needs Chromium.
browser: .venv/built
	PLSYNC_BROWSER=all $(BIN)/pytest tests/ui/test_browser.py tests/ui/test_browser_call.py

# A while on each parser of bytes from a disk or a network; needs a C++ compiler and a Python that atheris supports.
MIRI := frame:: ids:: labels:: verify::tests::pure records::row followups::entry
FUZZ_SECONDS ?= 60
fuzz: .venv/built
	cd fuzz && cargo build --quiet --release --target-dir ../target/fuzz
	@for parser in frame segment store salvage archive manifest lines; do mkdir -p target/fuzz/corpus/$$parser && \
		target/fuzz/*/release/$$parser -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=2048 -print_final_stats=1 \
		-artifact_prefix=target/fuzz/ target/fuzz/corpus/$$parser || exit 1; done
	@$(BIN)/pip install --quiet 'pip>=25.1' && $(BIN)/pip install --quiet --group fuzz
	@for parser in recording response; do mkdir -p target/fuzz/corpus/$$parser && \
		$(BIN)/python -W ignore fuzz/python/$$parser.py -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=2048 -print_final_stats=1 \
		-artifact_prefix=target/fuzz/ target/fuzz/corpus/$$parser || exit 1; done

# The parsers of bytes under Miri, which finds undefined behaviour; needs rustup's nightly toolchain with miri and rust-src.
miri:
	PROPTEST_CASES=2 MIRIFLAGS=-Zmiri-disable-isolation CARGO_TARGET_DIR=target/miri cargo +nightly miri test --package plsync-journal --lib -- $(MIRI)

bench: build/bench/built
	$(BENCH)/python benches/python/handler.py
	$(BENCH)/python benches/python/imports.py
	$(BENCH)/python benches/python/ingest.py
	$(BENCH)/python benches/python/testing.py
	$(BENCH)/python benches/python/callbacks.py
	$(BENCH)/python benches/python/delivery.py
	$(BENCH)/python benches/python/replay.py
	$(BENCH)/python benches/python/lake.py
	$(BENCH)/python benches/python/bundle.py
	$(BENCH)/python benches/python/trees.py
	$(BENCH)/python benches/python/tree_pages.py
	$(BENCH)/python benches/python/ui.py
	$(BENCH)/python benches/python/digests.py
	cargo run --quiet --release --package plsync-benches --bin append
	cargo run --quiet --release --package plsync-benches --bin million

# plsync beside other recorders of LangChain, each in a separate environment; downloads 100 MB, and takes a quarter of an hour.
peers: build/peers/wheel/made
	$(BIN)/python benches/peers/peers.py

build/peers/wheel/made: .venv/built benches/python/pgo.py $(RUST) $(shell find python -name '*.py')
	rm -rf build/peers/wheel
	@if command -v rustup >/dev/null; then rustup --quiet component add llvm-tools; fi
	MATURIN_PGO=1 CARGO_TARGET_DIR=$(CURDIR)/build/peers/target PATH="$(CURDIR)/$(BIN):$$PATH" \
		pip wheel --quiet --no-deps --no-build-isolation --wheel-dir build/peers/wheel .
	@rm -rf build/peers/target
	@touch $@

lint: lint-rust lint-python lint-ui

lint-rust: .venv/module build/deny/made
	cargo fmt --all --check
	$(PYO3) cargo clippy --quiet $(CHECKED) --workspace --all-targets -- -D warnings
	build/deny/bin/cargo-deny --locked check licenses bans sources

lint-python: .venv/built
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@# Windows differs most from Linux in the standard library.
	$(BIN)/mypy --platform win32 --cache-dir .mypy_cache/win32 python
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/python tools/prose.py

# The committed files of the front end must equal the files that its sources make.
lint-ui:
	@if ! command -v npm >/dev/null; then echo "lint-ui: skipped, npm is not installed; it rebuilds python/plsync/ui/static and compares"; \
	elif ! $(MAKE) --no-print-directory ui/node_modules/made; then echo "lint-ui: skipped, npm cannot install the packages"; \
	else rm -rf build/ui && cd ui && npm run --silent build -- ../build/ui && diff -r ../build/ui ../python/plsync/ui/static || \
		{ echo "python/plsync/ui/static differs from the files that ui/ makes: run make ui"; exit 1; }; fi

# The front end of `plsync ui`, from ui/ to python/plsync/ui/static; needs npm of Node.js 18 or newer.
ui: ui/node_modules/made
	cd ui && npm run --silent build

ui/node_modules/made: ui/package.json ui/package-lock.json ui/.npmrc
	cd ui && npm ci --silent --ignore-scripts
	@touch $@

# make prose PATHS="docs README.md" reads these alone.
prose:
	@$(PYTHON) tools/prose.py $(PATHS)

# The site needs neither plsync nor cargo: build/docs holds its tools alone.
docs: build/docs/made
	@build/docs/bin/zensical build --clean --strict >build/docs/log 2>&1; cat build/docs/log
	@grep -q 'No issues found' build/docs/log && ! grep -q 'griffe:' build/docs/log
	@echo "To read it: $(PYTHON) -m http.server --directory build/site"

# The pinned versions and hashes in requirements, for a new version or a new requirement.
pins:
	$(PYTHON) -m venv build/pins
	build/pins/bin/pip install --quiet 'uv>=0.9'
	PATH="$(CURDIR)/build/pins/bin:$$PATH" requirements/pins.sh

# The picture of the README, drawn from the output of the commands.
screenshot: .venv/built
	$(BIN)/python tools/screenshot.py

format: .venv/built
	cargo fmt --all
	$(BIN)/ruff check --quiet --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv build target ui/node_modules

.venv/made: pyproject.toml
	@test -n "$(PYTHON)" || { echo "No Python 3.10 or newer with venv found; install one or run: make PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet 'maturin>=1.15,<2'
	@touch $@

# The workflow of the audit also checks the advisories, whose database is a repository on GitHub.
build/deny/made: pyproject.toml
	test -n "$(PYTHON)" && $(PYTHON) -m venv --clear build/deny
	build/deny/bin/pip install --quiet 'pip>=25.1' && build/deny/bin/pip install --quiet --group deny
	@touch $@

build/docs/made: requirements/docs.txt
	$(PYTHON) -m venv --clear build/docs
	build/docs/bin/pip install --quiet --require-hashes --requirement requirements/docs.txt
	@touch $@

# The packages are downloaded while the module is built.
.venv/built: .venv/packages .venv/module
	@touch $@

.venv/packages: .venv/made tools/requirements.py
	$(BIN)/python tools/requirements.py dev >.venv/requirements
	$(BIN)/pip install --quiet --requirement .venv/requirements
	@touch $@

.venv/module: .venv/made $(RUST)
	PATH="$(CURDIR)/$(BIN):$$PATH" MAKEFLAGS= pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# pytest compiles tests, plugins and plsync anew in each process, unless their bytecode is there. The tests start hundreds of
# processes, and none writes bytecode where PYTHONDONTWRITEBYTECODE is set.
.venv/compiled: .venv/built
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m compileall -q python
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/pytest --collect-only --quiet >/dev/null || true
	@touch $@

# The benches measure a build like a released wheel: built twice, the second time with the profile of benches/python/pgo.py.
build/bench/built: .venv/made benches/python/pgo.py $(RUST) $(shell find python -name '*.py')
	$(BIN)/python -m venv --clear build/bench
	@if command -v rustup >/dev/null; then rustup --quiet component add llvm-tools; fi
	MATURIN_PGO=1 CARGO_TARGET_DIR=$(CURDIR)/build/bench/target $(BENCH)/pip install --quiet '.[dev]'
	@rm -rf build/bench/target
	@touch $@
