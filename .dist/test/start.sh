#!/usr/bin/env bash
# The released program of a system on that system itself: start.sh TARGET. For macOS and Windows runners.
set -euo pipefail
cd "$(dirname "$0")/../.."
target=$1 version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
name=devnet-$version-$target
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
case $target in
  *-windows-*) unzip -q "target/dist/$name.zip" -d "$folder"; devnet=$folder/$name/devnet.exe ;;
  *) tar xzf "target/dist/$name.tar.gz" -C "$folder"; devnet=$folder/$name/devnet ;;
esac
said=$("$devnet" --version -o json); echo "$said"
[[ $said == *"\"version\":\"$version\""*"\"target\":\"$target\""* ]]
"$devnet" env --help >/dev/null
"$devnet" completions bash | grep -q devnet
# no cluster here: said, with its exit code
code=0; said=$("$devnet" status 2>&1) || code=$?
echo "$said"; [ "$code" = 3 ] || [ "$code" = 0 ]
# only macOS has it
if command -v otool >/dev/null; then
  otool -L "$devnet"
  if otool -L "$devnet" | grep -q framework; then exit 1; fi
  # macOS asks Apple's own processors alone for a signature, and zig gives theirs one
  case $target in aarch64-*) codesign --verify --verbose "$devnet" ;; esac
fi
