#!/usr/bin/env bash
# `make demo`: shows what devnet does. As root on Linux on private engines that vanish afterwards;
# elsewhere the lab alone, on the engine that is reachable.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
devnet=$root/target/release/devnet

if [ "$(uname)" = Linux ] && [ "$(id -u)" = 0 ]; then
  exec "$here/run.sh" "$here/demo-story.sh" "$devnet"
fi
if "$devnet" -q -p lab status >/dev/null 2>&1; then
  echo "This demo shows the lab alone, on your own engine: the whole of it wants root on Linux." >&2
  exec "$here/demo-story.sh" "$devnet" lab
fi
echo "devnet's demo needs a Docker engine: start Docker, or run this as root on Linux (Debian or Ubuntu), where it makes its own." >&2
exit 1
