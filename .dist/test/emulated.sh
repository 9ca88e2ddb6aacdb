#!/usr/bin/env bash
# The unit tests of devnet and of its probe as aarch64 programs, under qemu.
# shellcheck source=.dist/test/common.sh
. "$(dirname "$0")/common.sh"
# installed by tests/testbed/deps.sh dist
export PATH=$root/target/dist-tools/bin:$PATH
# shellcheck source=/dev/null
. "$root/target/probes/env"
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_RUNNER=qemu-aarch64-static
cargo-zigbuild test --quiet --locked --features probe --lib --bin devnet-probe --target aarch64-unknown-linux-musl --target-dir target/emulated
ok "unit tests as aarch64 programs"
