#!/usr/bin/env bash
# What `make lint` checks, cheapest first. A check that this machine can't make is named.
set -euo pipefail
cd "$(dirname "$0")/../.."
step() { echo "== $*" >&2; }

step "format"; cargo fmt --check
step "shellcheck"; shellcheck -x tests/ground/*.sh tests/bench/*.sh
step "clippy"; cargo clippy --all-targets --all-features -- -D warnings
step "clippy, the probe alone"; cargo clippy --bin devnet-probe --no-default-features -- -D warnings
if cargo deny --version >/dev/null 2>&1; then
  step "licences and sources"; cargo deny --config .deny.toml check bans licenses sources
else
  step "cargo-deny is not installed: licences are not checked (cargo install --locked cargo-deny)"
  [ -z "${CI:-}" ] || exit 1
fi
