#!/usr/bin/env bash
# What `make lint` checks, cheapest first. A check that this machine can't make is named.
set -euo pipefail
cd "$(dirname "$0")/../.."
step() { echo "== $*" >&2; }

step "format"; cargo fmt --check
step "shellcheck"; shellcheck -x tests/testbed/*.sh tests/bench/*.sh tests/fuzz/*.sh .dist/*.sh .dist/kubectl-devnet .dist/test/*.sh templates/*-session.sh
step "clippy"; cargo clippy --all-targets --all-features -- -D warnings
step "clippy, the probe alone"; cargo clippy --bin devnet-probe --no-default-features --features probe -- -D warnings
for target in x86_64-pc-windows-gnu aarch64-apple-darwin; do
  if command -v rustup >/dev/null; then rustup target add "$target" >/dev/null 2>&1 || true; fi
  if [ -d "$(rustc --print sysroot)/lib/rustlib/$target" ]; then
    step "types for $target"
    # nothing is linked, so a C compiler for that platform is not needed: `true` stands in for it
    env "CC_${target//-/_}=true" "AR_${target//-/_}=true" cargo check --quiet --target "$target" --target-dir target/cross
  else
    step "no standard library for $target here: its types are not checked"
  fi
done
if cargo deny --version >/dev/null 2>&1; then
  step "licences and sources"; cargo deny --config .deny.toml check bans licenses sources
  step "advisories"
  if ! said=$(cargo deny --config .deny.toml check advisories 2>&1); then
    # the database lies elsewhere than crates do; where it can't be had, that is no fault of the code
    grep -q 'failed to fetch advisory database' <<< "$said" || { echo "$said" >&2; exit 1; }
    step "the database of advisories can't be reached from here: they are not checked"
  fi
else
  step "cargo-deny is not installed: licences are not checked (cargo install --locked cargo-deny)"
  [ -z "${CI:-}" ] || exit 1
fi
