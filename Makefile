# Two commands on a fresh machine:
#   make demo    what devnet does, shown on a private Docker engine
#   make test    everything the tests need, then all tests     (ENGINE=20.10|26|28|28c picks an engine,
#                ENGINE_CONTAINERD=1.6|1.7|2.1 the containerd of its nodes, TESTS="pods exec" picks tests); skipped ones are counted and named at its end
# And:
#   make build   target/release/devnet with its probes inside
#   make bench   devnet beside its peers, as ratios
#   make engines fetches the programs of other engines, podmans and runcs than the system's, for `make pairs`, `make test-differing` and tests of nodes
#   make pairs   images between all versions of engines
#   make test-differing   what engines do differently (build, load, logs, exec, pods), on the newest with containerd's store, and how long it took
#   make test-all         the whole suite on every engine, and 200 rounds of random kills
#   make fuzz    feeds the parsers what a fuzzer thinks of, FUZZ_SECONDS (60) each; says what to install
#   make package   the crate that is published, with both probes packed into it, in target/package
#   make dist    what is released, for every system, in target/dist      (DIST_TARGETS="..." picks systems)
#   make test-dist     runs what `make dist` made: in empty roots, under an emulator, from an empty Cargo home, under Wine
#   make lint    formatting, clippy, shellcheck, licences, the other platforms' types
SHELL := /bin/bash
ENGINE ?= system
CARGO ?= cargo
testbed := tests/testbed/run.sh --engine $(ENGINE)
# the probes' programs, if a target is installed for them; the engine's architecture picks one at run time
probes := $(CURDIR)/target/probes

# the probe's own tests too
all_parts := --features probe

# what is drawn at random is the same in every run; with another number, other values
export PROPTEST_RNG_SEED ?= 20110502

# what a test lacked: the runner shows nothing of a test that passes
export DEVNET_SKIPPED := $(CURDIR)/target/skipped-tests

.PHONY: build demo test test-differing test-all engines bench pairs fuzz lint probes package dist test-dist toolchain test-start release

build: probes
	. $(probes)/env && $(CARGO) build --release --bin devnet

probes:
	@tests/testbed/probes.sh $(probes)

demo: build
	@tests/testbed/deps.sh demo
	@tests/testbed/demo.sh

test: probes
	@tests/testbed/deps.sh test
	. $(probes)/env && $(CARGO) test $(all_parts) --no-run
	@rm -f "$$DEVNET_SKIPPED"
	. $(probes)/env && $(testbed) $(CARGO) test $(all_parts) -- $(TESTS)
	@tests/testbed/skipped.sh "$$DEVNET_SKIPPED"

engines:
	@for version in 20.10 26 28 podman-5.4 podman-5.8 runc-1.3; do tests/testbed/engine.sh tree $$version >/dev/null || exit 1; done

# modules of tests/it whose engines answer differently; what only devnet decides runs on the system's engine alone
# nodes with containerd or cri-o have a Docker engine beside them only as the source of images
differing := build:: build_inputs:: build_flags:: build_outputs:: build_layouts:: build_faults:: load:: load_sources:: logs:: exec:: \
  pods_live:: pods_restarts::

# one at a time: with containerd's store an engine gives up a list or a build when another test removes an image meanwhile
test-differing: probes engines
	@tests/testbed/deps.sh test
	. $(probes)/env && $(CARGO) test $(all_parts) --no-run
	@rm -f "$$DEVNET_SKIPPED"
	. $(probes)/env && begun=$$SECONDS && tests/testbed/run.sh --engine 28c $(CARGO) test $(all_parts) --test it -- $(differing) --skip containerd --skip cri_ --skip crio --skip habits_ --test-threads 1 && \
	  echo "test-differing took $$((SECONDS - begun)) s"
	@tests/testbed/skipped.sh "$$DEVNET_SKIPPED"

test-all: engines
	for engine in system 20.10 26 28 28c; do $(MAKE) test ENGINE=$$engine || exit 1; done
	ROUNDS=200 $(MAKE) test TESTS=load_kills

bench: build
	@tests/testbed/deps.sh bench
	. $(probes)/env && $(CARGO) test $(all_parts) --test it --no-run
	$(testbed) tests/bench/run.sh

pairs: probes engines
	. $(probes)/env && $(CARGO) test $(all_parts) --no-run
	. $(probes)/env && $(testbed) $(CARGO) test $(all_parts) --test it load_pairs

fuzz:
	@tests/fuzz/run.sh

lint:
	@tests/testbed/deps.sh lint
	tests/testbed/lint.sh

package: probes
	.dist/package.sh $(probes)

dist: package
	@tests/testbed/deps.sh dist
	.dist/dist.sh

test-dist:
	@tests/testbed/deps.sh test-dist
	.dist/test.sh

rust := $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)

# for workflows: the compiler that Cargo.toml names; TARGET's program on its own system; what is published, of TAG
toolchain:
	rustup toolchain install $(rust) --profile minimal --component clippy,rustfmt
	rustup default $(rust)

test-start:
	.dist/test/start.sh $(TARGET)

release:
	.dist/release.sh $(TAG)
