#!/usr/bin/env bash
# Fetches clients of docker's that no distribution has, into target/testbed/clients; prints that folder.
# `run` in a client's folder starts its interpreter.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
clients=$root/target/testbed/clients
version=4.15.0
python=$clients/testcontainers-$version
if [ ! -e "$python/run" ] && python3 -m pip --version >/dev/null 2>&1; then
  mkdir -p "$clients"; work=$(mktemp -d -p "$clients"); trap 'rm -rf "$work"' EXIT
  python3 -m pip install --quiet --root-user-action ignore --target "$work/lib" "testcontainers==$version" >&2
  printf '#!/bin/sh\nPYTHONPATH=%s/lib exec %s "$@"\n' "$python" "$(python3 -c 'import sys; print(sys.executable)')" > "$work/run"
  chmod 755 "$work" "$work/run"
  rm -rf "$python"; mv -T "$work" "$python"
  trap - EXIT
fi
echo "$clients"
