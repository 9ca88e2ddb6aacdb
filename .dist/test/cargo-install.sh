#!/usr/bin/env bash
# The published crate, installed as a person does who has cargo and a C compiler alone: an empty Cargo
# home, no musl target. The pods of the devnet that comes of it have their proof from the kernel.
# shellcheck source=.dist/test/common.sh
. "$(dirname "$0")/common.sh"

# this toolchain without other targets
toolchain=$(rustc --print sysroot); host=$(rustc -vV | sed -n 's/^host: //p')
mkdir "$work/rust"; cp -rs "$toolchain"/. "$work/rust/" 2>/dev/null
for target in "$work"/rust/lib/rustlib/*-*-*; do
  case ${target##*/} in "$host"|manifest-*) ;; *) rm -rf "$target" ;; esac
done
# no links: rustc finds its targets beside its own library
rm "$work"/rust/bin/{cargo,rustc} "$work"/rust/lib/*.so*
cp "$toolchain"/bin/{cargo,rustc} "$work/rust/bin/"; cp -a "$toolchain"/lib/*.so* "$work/rust/lib/"
[ "$("$work/rust/bin/rustc" --print sysroot)" = "$work/rust" ] || failed "rustc has another sysroot"

mkdir "$work/crate" "$work/cargo" "$work/bin"
for program in cc ld as ar sh env uname; do ln -s "$(command -v "$program")" "$work/bin/"; done
tar xzf "$dist/devnet-$version.crate" -C "$work/crate"
# CARGO_INSTALL_PROFILE=dev compiles sooner
env -i HOME="$work" CARGO_HOME="$work/cargo" PATH="$work/rust/bin:$work/bin" TMPDIR="${TMPDIR:-/tmp}" \
  ${SSL_CERT_FILE:+SSL_CERT_FILE="$SSL_CERT_FILE"} CARGO_TARGET_DIR="$work/target" \
  cargo install --quiet --locked --profile "${CARGO_INSTALL_PROFILE:-release}" --path "$work/crate/devnet-$version"
rm -rf "$work/target"
[ "$(ls "$work/cargo/bin")" = devnet ] || failed "installed: $(ls "$work/cargo/bin")"
ok "cargo install brings devnet alone"

cat > "$work/ground.sh" <<GROUND
set -euo pipefail
export HOME=$work DEVNET_HOST=unix://\$DEVNET_TESTBED/host.sock
$work/cargo/bin/devnet lab up
$work/cargo/bin/devnet pods
$work/cargo/bin/devnet inspect web
GROUND
said=$(tests/testbed/run.sh bash "$work/ground.sh") || failed "$said"
[[ $said == *"server"*"8080"*"proven by inode"* ]] || failed "no proof from the kernel: $said"
echo "$said"
ok "its pods have their listeners and their proof"
