# Two commands on a fresh machine: `make demo` shows what devnet does, `make test` tests it.
.PHONY: build
build:
	cargo build --release
