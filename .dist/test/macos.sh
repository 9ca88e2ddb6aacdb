#!/usr/bin/env bash
# The macOS programs, which can't run here: what they load, and the signature that arm64 kernels ask for.
# shellcheck source=.dist/test/common.sh
. "$(dirname "$0")/common.sh"
for target in aarch64-apple-darwin x86_64-apple-darwin; do
  [ -f "$dist/devnet-$version-$target.tar.gz" ] || { echo "not made here: $target"; continue; }
  folder=$(unpack "$target")
  python3 .dist/test/macho.py "$folder/devnet" || failed "$target"
done
