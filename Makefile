# The commands people and CI run. Each makes the environment it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo quick test test-rust test-aarch64 test-python test-gateway test-systemd test-container matrix matrix-all heaps catalogue nightly wheel wheel-aarch64 wheel-linux wheel-macos sdist picture man lint lint-workflows bench bench-memory bench-idle bench-fleet bench-gate bench-slim soak peers fuzz fuzz-rust fuzz-python build clean

RUST := $(shell find rust Cargo.toml Cargo.lock -name target -prune -o \( -name '*.rs' -o -name 'Cargo.*' \) -print 2>/dev/null)

# Needs no tools of ours: an environment with tailflip alone, its engine compiled in a hurry.
DEMO := target/demo
demo: $(DEMO)/.built
	$(DEMO)/bin/tailflip demo

$(DEMO)/.built: $(RUST) $(shell find python -name '*.py' -o -name '*.mjs') pyproject.toml
	@echo "1 of 3: an environment of its own in $(DEMO)"
	$(PYTHON) -m venv $(DEMO)
	@echo "2 of 3: compile the engine and install tailflip (about a minute; needs a C compiler)"
	@command -v cargo >/dev/null || echo "cargo is not there: pip fetches a Rust toolchain first (740 MB)"
	CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
	  CARGO_PROFILE_RELEASE_DEBUG=false CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
	  CARGO_TARGET_DIR=$(CURDIR)/target/demo-engine $(DEMO)/bin/pip install .
	@echo "3 of 3: the demo"
	@touch $@

test: build lint test-rust test-python fuzz

# What to run while working: every check that takes seconds, and the unit tests of what changed.
quick: build
	cargo fmt --all --check
	$(BIN)/ruff check python tests bench
	$(BIN)/ruff format --check python tests bench
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy
	$(BIN)/python tests/tools/changed.py | xargs -r $(BIN)/python -m pytest $(TWO_AT_A_TIME)

# Ten programs are linked: without link-time optimisation in a quarter of the time.
test-rust:
	CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
	  CARGO_PROFILE_RELEASE_DEBUG=false CARGO_TARGET_DIR=target/tests \
	  cargo test --release --workspace --exclude tailflip-native

# The engine on a Raspberry Pi's and Apple's instructions, emulated: needs Debian's rustc-web,
# libstd-rust-web-dev:arm64, gcc-aarch64-linux-gnu, libc6-dev-arm64-cross and qemu-user-static.
# Linked statically: under emulation a thread of the cross C library never starts.
test-aarch64:
	RUSTC=$${RUSTC:-/usr/bin/rustc} \
	  CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
	  CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=qemu-aarch64-static \
	  CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS="-C target-feature=+crt-static" \
	  CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc CARGO_TARGET_DIR=target/aarch64 \
	  CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
	  CARGO_PROFILE_RELEASE_DEBUG=false CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
	  cargo test --release -p tailflip-store --target aarch64-unknown-linux-gnu \
	  --lib --test scanner --test laws --test rows --test threads

TWO_AT_A_TIME := --numprocesses 2 --dist worksteal

# Those that die at every effect need all of the cores; the others wait for processes.
test-python: build
	$(BIN)/python -m pytest $(TWO_AT_A_TIME) -m "crash and not nightly"
	$(BIN)/python -m pytest --numprocesses 3 --dist worksteal --durations 40 \
	  -m "not crash and not gateway and not systemd and not container and not nightly"

test-gateway: build
	$(BIN)/python -m pytest -m "gateway or quick_gateway" -rs

test-systemd: build
	$(BIN)/python -m pytest -m systemd -rs

# Builds our image on the real OpenClaw and runs it: needs Debian's podman, runc and mmdebstrap.
test-container: build
	$(BIN)/python -m pytest -m container -rs

# Real releases from npm, one at a time on disk; each gives a line of docs/releases.md. RELEASES
# names them, KEEP=1 leaves them in the cache. `matrix-all` asks all without a good line.
MATRIX = PYTHONPATH=tests:tests/gateway $(BIN)/python -m matrix
matrix: build
	$(MATRIX) matrix $(RELEASES)

matrix-all: build
	$(MATRIX) matrix --all

# The smallest heap that each release lives with, by bisection: minutes a release.
heaps: build
	$(MATRIX) heaps $(RELEASES)

# What each release has, read from the packages on npm; one at a time on disk, 91 in a quarter of an
# hour. Only those are read that the table has not: docs/catalogue.md.
catalogue: build
	$(MATRIX) catalogue

nightly: build
	$(BIN)/python -m pytest -m nightly -rs

# A wheel for this machine and every Python from 3.11 on, and the source it can be built from.
wheel: sdist
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/maturin build --release --strip --out dist

# What a release publishes for Linux: zig's linker knows every C library, old and other. rustup
# brings the target; TARGET is x86_64 or aarch64-unknown-linux-gnu or -musl.
TARGET ?= x86_64-unknown-linux-gnu
POLICY = $(if $(findstring musl,$(TARGET)),musllinux_1_2,manylinux_2_28)
wheel-linux: build
	$(BIN)/python tests/tools/requirements.py release | xargs -d '\n' $(BIN)/pip install --quiet
	rustup target add $(TARGET)
	PATH="$(CURDIR)/$(BIN):$$PATH" CARGO_TARGET_DIR=target/portable \
	  $(BIN)/maturin build --release --strip --zig --target $(TARGET) \
	  --compatibility $(POLICY) --out dist

# One wheel for both kinds of Mac.
wheel-macos: build
	rustup target add x86_64-apple-darwin aarch64-apple-darwin
	PATH="$(CURDIR)/$(BIN):$$PATH" \
	  $(BIN)/maturin build --release --strip --target universal2-apple-darwin --out dist

# The source that a wheel can be built from.
sdist: build
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/maturin sdist --out dist

# For a Raspberry Pi, built on x86-64: needs Debian's rustc-web, libstd-rust-web-dev:arm64,
# gcc-aarch64-linux-gnu and libc6-dev-arm64-cross, for rustup's toolchain may have no library for it.
wheel-aarch64: build
	PATH="$(CURDIR)/$(BIN):$$PATH" RUSTC=$${RUSTC:-/usr/bin/rustc} \
	  CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
	  CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc CARGO_TARGET_DIR=target/aarch64 \
	  $(BIN)/maturin build --release --strip --target aarch64-unknown-linux-gnu \
	  --interpreter python3.11 --compatibility linux --out dist

# The terminal that the README shows: the commands are run, and what they print is drawn.
picture: build
	$(BIN)/python tests/tools/write_picture.py

man: build
	$(BIN)/python tests/tools/write_man.py --write

lint: build
	cargo fmt --all --check
	cargo clippy --release --workspace --all-targets -- -D warnings
	$(BIN)/ruff check python tests bench
	$(BIN)/ruff format --check python tests bench
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest tailflip._native
	$(BIN)/lint-imports --no-logo

# Needs Go, which the checker of workflows is written in.
lint-workflows:
	go run github.com/rhysd/actionlint/cmd/actionlint@v1.7.12 .github/workflows/*.yml

# Everything that has a limit, in one table; the engine alone is timed by `rust/bench`.
bench: build $(VENV)/.bench
	$(BIN)/python bench/speed.py --out docs/benchmarks.md
	$(BIN)/python bench/databases.py --out docs/benchmarks.md

bench-memory: build
	$(BIN)/python bench/memory.py --out docs/benchmarks.md
	$(BIN)/python bench/verbs.py --out docs/benchmarks.md

bench-idle: build
	$(BIN)/python bench/idle.py

# Twenty gateways, each with a service, a store and a record.
bench-fleet: build
	$(BIN)/python bench/fleet.py

bench-gate: build
	$(BIN)/python bench/gate.py

bench-slim: build
	$(BIN)/python bench/slim.py

# Guards a gateway that leaks, hangs and dies every few seconds; measures ourselves meanwhile.
SOAK_MINUTES ?= 30
soak: build
	$(BIN)/python bench/soak.py --minutes $(SOAK_MINUTES)

peers: build $(VENV)/.bench
	$(BIN)/python bench/peers.py

# The scanner, the rewrite, and every small file that we read, each for a minute; two at a time.
FUZZ_SECONDS ?= 60
fuzz: build
	$(MAKE) --jobs=2 --output-sync=target fuzz-rust fuzz-python

# What cargo-fuzz would do: libFuzzer, and its instrumentation of our code alone.
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
fuzz-rust:
	RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
	  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
	  -Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Ccodegen-units=1 --cfg fuzzing" \
	  cargo build --release --quiet --manifest-path rust/fuzz/Cargo.toml --target $(HOST) \
	  --target-dir rust/fuzz/target
	for target in scanner laws; do \
	  mkdir -p rust/fuzz/corpus/$$target rust/fuzz/artifacts/$$target && \
	  rust/fuzz/target/$(HOST)/release/$$target -max_total_time=$(FUZZ_SECONDS) -max_len=600 \
	    -verbosity=0 -print_final_stats=1 -artifact_prefix=rust/fuzz/artifacts/$$target/ \
	    rust/fuzz/corpus/$$target rust/fuzz/seeds/$$target || exit 1; \
	done

fuzz-python: build
	TAILFLIP_FUZZ_SECONDS=$(FUZZ_SECONDS) $(BIN)/python -m pytest $(TWO_AT_A_TIME) -m fuzz

build: $(VENV)/.built

$(VENV)/.built: $(VENV)/.deps $(RUST) pyproject.toml
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/.deps: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python tests/tools/requirements.py dev | xargs -d '\n' $(BIN)/pip install --quiet
	touch $@

$(VENV)/.bench: $(VENV)/.deps
	$(BIN)/python tests/tools/requirements.py bench | xargs -d '\n' $(BIN)/pip install --quiet
	touch $@

clean:
	rm -rf $(VENV) target
