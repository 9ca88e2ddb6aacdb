#!/usr/bin/env bash
# Runs a command beside private Docker engines, in namespaces of their own.
#
#   tests/testbed/run.sh [--engine 20.10|26|28|28c|system] COMMAND...
#
# Mounts, processes, network and loopback are private to this run: when it ends, or is killed, the
# kernel takes all of it away, and an engine that already runs here is never touched. The command
# finds in its environment
#   DEVNET_TESTBED      a folder: minikube/.minikube (a MINIKUBE_HOME), host.sock, node.sock, node2.sock, fake-bin/minikube
#   DEVNET_TESTBED_*    see testbed_environment below
# Engines: `host` (unix socket), `node` (TLS on 127.0.0.2:2376) and `node2` (TLS on 127.0.0.3:2376,
# started on demand with `tests/testbed/engine.sh start node2`). Nodes that run containerd are started on
# demand with `tests/testbed/node.sh start NAME`; ENGINE_CONTAINERD=1.6|1.7|2.1|system is their version.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

engine=${ENGINE:-system}
while [ $# -gt 0 ]; do
  case $1 in
    --engine) engine=$2; shift 2 ;;
    --) shift; break ;;
    *) break ;;
  esac
done

if [ -z "${DEVNET_TESTBED_INSIDE:-}" ]; then
  [ "$(id -u)" = 0 ] || { echo "testbed: private engines need root (try sudo)" >&2; exit 1; }
  DEVNET_TESTBED_TREE=$("$here/engine.sh" tree "$engine")
  DEVNET_TESTBED_CONTAINERD=$("$here/node.sh" tree "${ENGINE_CONTAINERD:-system}")
  export DEVNET_TESTBED_CONTAINERD DEVNET_TESTBED_TREE DEVNET_TESTBED_ENGINE=$engine DEVNET_TESTBED_INSIDE=1
  "$here/engine.sh" sweep
  "$here/node.sh" sweep
  # the death of this script's own parent must end everything too
  exec setpriv --pdeathsig KILL -- unshare --mount --pid --net --fork --kill-child --mount-proc -- "$here/run.sh" "$@"
fi

mount --make-rprivate /
ip link set lo up
testbed=$(mktemp -d "${TMPDIR:-/tmp}/devnet-testbed.XXXXXX")
# held as long as this run lives: how `sweep` knows what is left over
exec 9>"$testbed/lock"; flock -n 9
export DEVNET_TESTBED=$testbed
ended() {
  local code=$?
  "$here/engine.sh" stop-all || true
  "$here/node.sh" stop-all || true
  [ -n "${DEVNET_KEEP:-}" ] || rm -rf --one-file-system "$testbed" 2>/dev/null || true
  exit "$code"
}
trap ended EXIT
trap 'exit 130' INT TERM

"$here/minikube-home.sh" "$testbed"
"$here/engine.sh" start host & first=$!
"$here/engine.sh" start node & second=$!
wait "$first"; wait "$second"
unset DEVNET_TESTBED_INSIDE
# not exec: the trap above cleans up. The command must not inherit the lock.
"$@" 9>&-
