#!/usr/bin/env bash
# Builds what is released into target/dist: devnet for each system, from the package that package.sh made,
# as archives, .deb and .rpm, with their sums and the manifests of package managers. Twice gives the same bytes.
#   DIST_TARGETS="..."    these alone; without it all that rustc has the standard library for, in CI all
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
# installed by tests/testbed/deps.sh dist
export PATH=$root/target/dist-tools/bin:$PATH
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
source=$root/target/package/devnet-$version build=$root/target/dist-build out=$root/target/dist
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct "$(cat "$source/src/probe/packaged/COMMIT")"); export SOURCE_DATE_EPOCH
export TZ=UTC LC_ALL=C
umask 022

all="x86_64-unknown-linux-musl aarch64-unknown-linux-musl x86_64-pc-windows-gnu aarch64-apple-darwin x86_64-apple-darwin"
targets=
for target in ${DIST_TARGETS:-$all}; do
  if command -v rustup >/dev/null; then rustup target add "$target" >/dev/null 2>&1 || true; fi
  if [ -d "$(rustc --print sysroot)/lib/rustlib/$target" ]; then targets="$targets $target"; continue; fi
  echo "dist: no standard library for $target here: it is left out" >&2
  [ -z "${DIST_TARGETS:-}${CI:-}" ] || exit 1
done

# no path of this machine in a program: not the sources', not those of dependencies, not the build's
cargo_home=${CARGO_HOME:-$HOME/.cargo}
separator=$'\x1f'
remap="--remap-path-prefix=$source=devnet$separator--remap-path-prefix=$build=build$separator--remap-path-prefix=$cargo_home/registry/src=crates"
# the oldest macOS that Rust's own library runs on, on either processor
export MACOSX_DEPLOYMENT_TARGET=11.0
export CFLAGS="-ffile-prefix-map=$cargo_home/registry/src=crates -ffile-prefix-map=$build=build"

windows_links() { # what windows-gcc.sh links through
  export DEVNET_LINK=$build/link TMPDIR=$build/tmp CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER=$root/.dist/windows-gcc.sh
  rm -rf "$DEVNET_LINK" "$TMPDIR"; mkdir -p "$DEVNET_LINK" "$TMPDIR"
  ln -s "$cargo_home/registry/src" "$DEVNET_LINK/crates"
  ln -s "$(rustc --print sysroot)" "$DEVNET_LINK/rust"
  ln -s "$build" "$DEVNET_LINK/build"
}

compile() { # TARGET
  local flags=$remap how=(cargo zigbuild)
  case $1 in
    # GNU ld writes the time of linking into a program otherwise
    *-windows-gnu) flags="$flags$separator-Clink-arg=-Wl,--no-insert-timestamp"; how=(cargo build) ;;
    # without it a linker's table of object files, which have other names in each build, is a part of the
    # program's UUID, also where it is stripped later. A Mac links for Macs itself
    *-apple-darwin) flags="$flags$separator-Clink-arg=-Wl,-S"; if [ "$(uname)" = Darwin ]; then how=(cargo build); fi ;;
  esac
  # no program has a date in it, and with another date C sources would be compiled again
  (case $1 in *-windows-gnu) windows_links ;; esac
    cd "$source" && unset SOURCE_DATE_EPOCH DEVNET_PROBE_X86_64 DEVNET_PROBE_AARCH64 RUSTFLAGS &&
    CARGO_ENCODED_RUSTFLAGS=$flags "${how[@]}" --quiet --locked --profile dist --bin devnet --target "$1" --target-dir "$build")
}

extras() { # PROGRAM: completions and manual pages, as a devnet that runs here writes them
  local folder=$source/extras
  rm -rf "$folder"; mkdir -p "$folder/completions" "$folder/man/man1"
  "$1" completions bash > "$folder/completions/devnet.bash"
  "$1" completions zsh > "$folder/completions/_devnet"
  "$1" completions fish > "$folder/completions/devnet.fish"
  "$1" completions elvish > "$folder/completions/devnet.elv"
  "$1" completions powershell > "$folder/completions/_devnet.ps1"
  "$1" --quiet man --dir "$folder/man/man1"
  install -m 755 .dist/kubectl-devnet "$folder/"
  find "$folder" -exec touch -d "@$SOURCE_DATE_EPOCH" {} +
}

archive() { # TARGET
  local name=devnet-$version-$1 exe='' folder
  case $1 in *-windows-*) exe=.exe ;; esac
  folder=$build/archives/$name
  rm -rf "$folder"; mkdir -p "$folder"
  install -m 755 "$build/$1/dist/devnet$exe" "$folder/"
  install -m 644 "$source/LICENSE" "$source/README.md" "$folder/"
  cp -r "$source/extras/completions" "$source/extras/man" "$folder/"
  find "$folder" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
  cd "$build/archives"
  if [ -n "$exe" ]; then
    rm -f "$out/$name.zip"
    find "$name" -type f | sort | zip -q -X -9 -@ "$out/$name.zip"
  else
    # kubectl finds it as its plugin; krew unpacks no archive with a link in it
    install -m 755 "$source/extras/kubectl-devnet" "$folder/"
    tar c --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --format=ustar "$name" | gzip -9 -n > "$out/$name.tar.gz"
  fi
  cd "$root"
}

system_packages() { # TARGET
  cd "$source"
  CARGO_TARGET_DIR=$build cargo deb --quiet --no-build --no-strip --profile dist --target "$1" --output "$out/"
  CARGO_TARGET_DIR=$build cargo generate-rpm --profile dist --target "$1" --output "$out/"
  cd "$root"
}

for target in $targets; do
  echo "dist: $target" >&2
  compile "$target"
done
# the first that runs here writes the manual for all
for target in $targets; do
  if "$build/$target/dist/devnet" --version >/dev/null 2>&1; then extras "$build/$target/dist/devnet"; break; fi
done
[ -d "$source/extras" ] || { echo "dist: none of$targets runs here, and one must, to write the manual pages" >&2; exit 1; }

rm -rf "$out"; mkdir -p "$out"
for target in $targets; do
  archive "$target"
  case $target in *-linux-musl) system_packages "$target" ;; esac
done
cp target/package/devnet-*.crate "$out/"
.dist/manifests.sh "$out"
