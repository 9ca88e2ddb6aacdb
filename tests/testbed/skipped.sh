#!/usr/bin/env bash
# Counts and names the tests that were skipped for want of something: skipped.sh FILE
set -euo pipefail
[ -s "$1" ] || { echo "no test was skipped"; exit 0; }
sort -u "$1" > "$1.sorted"
echo "$(wc -l < "$1.sorted") tests were skipped:"
sed 's/^/  /' "$1.sorted"
rm "$1.sorted"
