#!/usr/bin/env bash
# Builds devnet-probe, the small static program that devnet carries into nodes, into the folder $1:
# for x86_64 and aarch64 with musl where those targets are (or can be had), else for this machine alone.
# Writes $1/env, which exports where the programs are; devnet embeds them when it is built.
set -euo pipefail
out=$1; mkdir -p "$out"
: > "$out/env.new"
host=$(rustc -vV | sed -n 's/^host: //p')

# macOS's bash is too old for ${x^^}
upper() { printf %s "$1" | tr '[:lower:]' '[:upper:]'; }

build() { # TARGET ARCH, more flags in RUSTFLAGS
  cargo build --quiet --bin devnet-probe --no-default-features --features probe --profile probe --target "$1" || return 1
  cp "target/$1/probe/devnet-probe" "$out/devnet-probe-$2.new"
  # the same bytes keep their date, so that devnet is not built again for nothing
  if cmp -s "$out/devnet-probe-$2.new" "$out/devnet-probe-$2"; then
    rm "$out/devnet-probe-$2.new"
  else
    mv "$out/devnet-probe-$2.new" "$out/devnet-probe-$2"
  fi
  echo "export DEVNET_PROBE_$(upper "$2")='$out/devnet-probe-$2'" >> "$out/env.new"
}

for arch in x86_64 aarch64; do
  target=$arch-unknown-linux-musl
  if command -v rustup >/dev/null && ! rustup target list --installed | grep -qx "$target"; then
    rustup target add "$target" >/dev/null 2>&1 || true
  fi
  [ -d "$(rustc --print sysroot)/lib/rustlib/$target" ] || { echo "probes: no $target here" >&2; continue; }
  # rust-lld links for either machine without a cross compiler
  upper=$(upper "$target"); export "CARGO_TARGET_${upper//-/_}_LINKER=rust-lld"
  # at a fixed address, equal functions once, no table to find unwinding data by (it aborts): 20 KB less
  # where it is tried by tests, without unwinding data itself: 50 KB less (relative: paths may hold blanks)
  lean=; if [ "$arch" = x86_64 ]; then lean="-C link-arg=-Ttests/testbed/probes.ld"; fi
  RUSTFLAGS="-C relocation-model=static $lean -C link-arg=--icf=all -C link-arg=--no-eh-frame-hdr -C link-arg=-znoseparate-code" build "$target" "$arch" ||
    echo "probes: $target does not build here" >&2
done
case $host in
  x86_64-*-linux-*|aarch64-*-linux-*)
    arch=${host%%-*}
    # without musl a static glibc program does as well
    if ! grep -q "PROBE_$(upper "$arch")" "$out/env.new"; then RUSTFLAGS="-C target-feature=+crt-static" build "$host" "$arch"; fi ;;
esac
mv "$out/env.new" "$out/env"
