#!/usr/bin/env bash
# Runs what `make dist` made, as far as one Linux machine can: test.sh [linux|emulated|packages|macos|windows|cargo-install ...]
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || { echo "test-dist: roots of their own need root (try sudo)" >&2; exit 1; }
(cd target/dist && sha256sum --quiet -c SHA256SUMS)
[ $# -gt 0 ] || set -- linux emulated packages macos windows cargo-install
for part; do
  echo "== $part"
  ".dist/test/$part.sh"
done
