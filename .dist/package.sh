#!/usr/bin/env bash
# Makes the crate that is published, in target/package: the sources of HEAD, with both probes packed and
# their sums, which a checkout never has. Unpacked beside it, it is what `make dist` builds from.
#   package.sh PROBES     the folder with both probes, as tests/testbed/probes.sh makes it
set -euo pipefail
cd "$(dirname "$0")/.."
probes=$1
for machine in x86_64 aarch64; do
  [ -f "$probes/devnet-probe-$machine" ] || { echo "package: no probe for $machine in $probes: \`rustup target add $machine-unknown-linux-musl\`, then \`make probes\`" >&2; exit 1; }
done
# the probes are of the work tree, the rest is of HEAD
[ -z "$(git status --porcelain -- src Cargo.toml Cargo.lock)" ] || { echo "package: commit or stash first: a package's probes and its sources are of one commit" >&2; exit 1; }
[ -z "$(git status --porcelain)" ] || echo "package: what is not committed is not packaged" >&2

out=target/package
rm -rf "$out"; mkdir -p "$out/source"
git archive HEAD | tar x -C "$out/source"
packaged=$out/source/src/probe/packaged; mkdir "$packaged"
git rev-parse HEAD > "$packaged/COMMIT"
for machine in x86_64 aarch64; do
  # no name and no time in it: equal programs give equal bytes
  gzip -9 -n < "$probes/devnet-probe-$machine" > "$packaged/devnet-probe-$machine.gz"
done
(cd "$probes" && sha256sum devnet-probe-x86_64 devnet-probe-aarch64) > "$packaged/SHA256SUMS"

# not built here: make dist builds it for every system, and make test-dist from an empty Cargo home
cargo package --quiet --no-verify --allow-dirty --manifest-path "$out/source/Cargo.toml" --target-dir target
# with the time of unpacking: Cargo takes a source for unchanged whose time is, and in a crate all have the same
tar xzmf "$out"/devnet-*.crate -C "$out"
echo "package: $(ls "$out"/devnet-*.crate)"
