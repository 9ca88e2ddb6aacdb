# shellcheck shell=bash
# Sourced by what tests artefacts: the folder of a test, which ends with it, and words for what was seen.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck disable=SC2034 # for who sources this
root=$PWD dist=$PWD/target/dist
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
work=$(mktemp -d "${TMPDIR:-/tmp}/devnet-test-dist.XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT

ok() { echo "ok: $*"; }
failed() { echo "FAILED: $*" >&2; exit 1; }
# says TEXT COMMAND...: the command ends well and says this
says() {
  local text=$1 said; shift
  said=$("$@" 2>&1) || failed "$* ended with $?: $said"
  [[ $said == *"$text"* ]] || failed "$* did not say '$text': $said"
}
# ends CODE TEXT COMMAND...: the command ends with this code and says this
ends() {
  local code=$1 text=$2 said is=0; shift 2
  said=$("$@" 2>&1) || is=$?
  if [ "$is" != "$code" ] || [[ $said != *"$text"* ]]; then failed "$* ended with $is instead of $code and '$text': $said"; fi
}
# unpack TARGET: the archive's folder, in $work
unpack() {
  local name=devnet-$version-$1
  if [ -f "$dist/$name.zip" ]; then (cd "$work" && unzip -q -o "$dist/$name.zip"); else tar xzf "$dist/$name.tar.gz" -C "$work"; fi
  echo "$work/$name"
}
