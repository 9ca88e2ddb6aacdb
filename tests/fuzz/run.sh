#!/usr/bin/env bash
# Builds the fuzz targets and feeds each for FUZZ_SECONDS (60): `make fuzz`. What is found that is
# new stays in target/fuzz/corpus for the next run, what breaks a parser in target/fuzz/artifacts.
# TARGETS="records" picks some.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${FUZZ_SECONDS:-60} out=$PWD/target/fuzz triple=x86_64-unknown-linux-gnu
case $(uname -sm) in
  "Linux x86_64") ;;
  "Linux aarch64") triple=aarch64-unknown-linux-gnu ;;
  "Darwin arm64") triple=aarch64-apple-darwin ;;
  *) echo "fuzz: libFuzzer is built here on Linux and macOS only" >&2; exit 1 ;;
esac

missing=
cargo +nightly --version >/dev/null 2>&1 || missing+=$'\n  rustup toolchain install nightly'
cargo fuzz --version >/dev/null 2>&1 || missing+=$'\n  cargo install --locked cargo-fuzz'
command -v c++ >/dev/null || missing+=$'\n  a C++ compiler, for libFuzzer itself (g++ or clang)'
[ -z "$missing" ] || { echo "fuzz: please install:$missing" >&2; exit 1; }

cargo +nightly fuzz build --fuzz-dir tests/fuzz --target "$triple" --target-dir "$out"
mkdir -p "$out/artifacts"
broken=
for target in ${TARGETS:-$(cd tests/fuzz/targets && ls -- *.rs)}; do
  target=${target%.rs}
  mkdir -p "$out/corpus/$target"
  echo "== $target, $seconds s" >&2
  # found once, found in every run; a leak would be told too
  "$out/$triple/release/$target" "$out/corpus/$target" "tests/fuzz/seeds/$target" \
    "-artifact_prefix=$out/artifacts/$target-" "-max_total_time=$seconds" \
    -max_len=65536 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 || broken+=" $target"
done
[ -z "$broken" ] || { echo "fuzz: broken:$broken (see $out/artifacts)" >&2; exit 1; }
