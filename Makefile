# Two commands on a fresh machine:
#   make demo    what devnet does, shown on a private Docker engine
#   make test    everything the tests need, then all tests     (ENGINE=20.10|26|28|28c picks an engine)
# And:
#   make build   target/release/devnet with its probes inside
#   make bench   devnet beside its peers, as ratios
#   make pairs   images between all versions of engines; fetches those engines
#   make fuzz    feeds the parsers what a fuzzer thinks of, FUZZ_SECONDS (60) each; says what to install
#   make lint    formatting, clippy, shellcheck, licences, the other platforms' types
SHELL := /bin/bash
ENGINE ?= system
CARGO ?= cargo
ground := tests/ground/run.sh --engine $(ENGINE)
# the probes' programs, if a target is installed for them; the engine's architecture picks one at run time
probes := $(CURDIR)/target/probes

# what is drawn at random is the same in every run; with another number, other values
export PROPTEST_RNG_SEED ?= 20110502

.PHONY: build demo test bench pairs fuzz lint probes deps

build: probes
	. $(probes)/env && $(CARGO) build --release --bin devnet

probes:
	@tests/ground/probes.sh $(probes)

demo: build
	@tests/ground/deps.sh demo
	@tests/ground/demo.sh

test: probes
	@tests/ground/deps.sh test
	. $(probes)/env && $(CARGO) test --no-run
	. $(probes)/env && $(ground) $(CARGO) test -- $(TESTS)

bench: build
	@tests/ground/deps.sh bench
	$(ground) tests/bench/run.sh

pairs: probes
	@for version in 20.10 26 28; do tests/ground/engine.sh tree $$version >/dev/null; done
	. $(probes)/env && $(CARGO) test --no-run
	. $(probes)/env && $(ground) $(CARGO) test --test it load_pairs

fuzz:
	@tests/fuzz/run.sh

lint:
	@tests/ground/deps.sh lint
	tests/ground/lint.sh
