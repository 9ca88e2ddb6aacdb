#!/usr/bin/env bash
# Publishes what `make dist` made and workflows have run: release.sh TAG, with gh's and cargo's tokens in the environment.
set -euo pipefail
cd "$(dirname "$0")/.."
tag=$1 version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
[ "$tag" = "v$version" ] || { echo "release: the tag $tag is not version $version of Cargo.toml" >&2; exit 1; }
(cd target/dist && sha256sum --quiet -c SHA256SUMS)
tar czf "target/dist/manifests.tar.gz" -C target/dist manifests
gh release create "$tag" --verify-tag --generate-notes target/dist/SHA256SUMS target/dist/manifests.tar.gz target/dist/devnet*
# the crate's own bytes: unpacked, it packs to the same
tar xzf "target/dist/devnet-$version.crate" -C target
cargo publish --locked --no-verify --manifest-path "target/devnet-$version/Cargo.toml"
