#!/usr/bin/env bash
# Publishes what `make dist` made and workflows have run, of the tag that is checked out: release.sh TAG
# One that was broken off goes on where it was: the release is a draft until the crate is published.
#   GH_TOKEN              of this repository
#   CARGO_REGISTRY_TOKEN  of the crate
#   TAP_TOKEN             of the repository of Homebrew's formula
set -euo pipefail
cd "$(dirname "$0")/.."
dist=target/dist
tag=$1 version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
[ "$tag" = "v$version" ] || { echo "release: the tag $tag is not version $version of Cargo.toml" >&2; exit 1; }
for token in GH_TOKEN CARGO_REGISTRY_TOKEN TAP_TOKEN; do
  [ -n "${!token:-}" ] || { echo "release: no $token: it is a secret of the repository's that the workflow hands on" >&2; exit 1; }
done
(cd "$dist" && sha256sum --quiet -c SHA256SUMS)

# the crate once more, with the probes of the one that was tested: a registry is sent a source, not a crate
crate=$dist/devnet-$version.crate
probes=target/released-probes
rm -rf "$probes"; mkdir -p "$probes"
for machine in x86_64 aarch64; do
  tar xzOf "$crate" "devnet-$version/src/probe/packaged/devnet-probe-$machine.gz" | gunzip > "$probes/devnet-probe-$machine"
done
.dist/package.sh "$probes"
cmp -s "target/package/devnet-$version.crate" "$crate" || { echo "release: this checkout packs to another crate than the one that was tested" >&2; exit 1; }

draft=$(gh release view "$tag" --json isDraft --jq .isDraft 2>/dev/null || true)
if [ -z "$draft" ]; then
  gh release create "$tag" --draft --verify-tag --generate-notes
  draft=true
fi
# what is public is not replaced
[ "$draft" = false ] || gh release upload "$tag" --clobber "$dist/SHA256SUMS" "$dist"/devnet* "$dist"/manifests/*/*

# the crate of this version that the registry has, as Cargo brings it to who depends on it
depends=target/depends-on-devnet
rm -rf "$depends"; mkdir -p "$depends/src"
: > "$depends/src/lib.rs"
printf '[package]\nname = "depends-on-devnet"\nedition = "2024"\n[dependencies]\ndevnet = "=%s"\n[workspace]\n' "$version" > "$depends/Cargo.toml"
if CARGO_HOME=$PWD/$depends/home cargo fetch --quiet --manifest-path "$depends/Cargo.toml" 2>/dev/null; then
  cmp -s "$depends/home/registry/cache/"*"/devnet-$version.crate" "$crate" ||
    { echo "release: another crate was published as devnet $version: this one needs another version" >&2; exit 1; }
else
  cargo publish --locked --no-verify --allow-dirty --manifest-path target/package/source/Cargo.toml --target-dir target
fi
[ "$draft" = false ] || gh release edit "$tag" --draft=false

tap=target/homebrew-tap from=$(sed -n 's|^repository = "\(.*\)/.*"|\1|p' Cargo.toml)/homebrew-tap
rm -rf "$tap"
header="Authorization: Basic $(printf 'x-access-token:%s' "$TAP_TOKEN" | base64 -w 0)"
# in the environment: words of a command line are seen by everybody
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0="http.$from.extraHeader" GIT_CONFIG_VALUE_0="$header"
git clone --quiet --depth 1 "$from" "$tap"
install -D -m 644 "$dist/manifests/homebrew/devnet.rb" "$tap/Formula/devnet.rb"
git -C "$tap" add Formula/devnet.rb
if ! git -C "$tap" diff --cached --quiet; then
  git -C "$tap" -c user.name=devnet -c user.email=devnet-cli@users.noreply.github.com commit --quiet -m "devnet $version"
  git -C "$tap" push --quiet
fi
echo "release: winget's repository takes changes from a person: send it $dist/manifests/winget as manifests/d/devnet-cli/devnet/$version"
