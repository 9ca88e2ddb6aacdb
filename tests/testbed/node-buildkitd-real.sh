#!/usr/bin/env bash
# Starts a real buildkitd in a node (see node.sh), inside its namespaces, configured as minikube's is:
#   node-buildkitd-real.sh PROGRAM FOLDER SNAPSHOTTER
# FOLDER gets its data, new at each start, and its files of process numbers.
set -euo pipefail
program=$1 folder=$2 snapshotter=$3
mkdir -p "$folder" /run/buildkit
rm -f /run/buildkit/buildkitd.sock
cat > "$folder/buildkitd.toml" <<FILE
root = "$(mktemp -d -p "$folder")"
[grpc]
  address = ["unix:///run/buildkit/buildkitd.sock"]
  gid = $(sed -n 's/^buildkit:x:\([0-9]*\):.*/\1/p' /etc/group)
[worker.oci]
  enabled = false
[worker.containerd]
  enabled = true
  namespace = "k8s.io"
  snapshotter = "$snapshotter"
FILE
setsid "$program" --config "$folder/buildkitd.toml" >> /var/log/buildkitd.log 2>&1 < /dev/null &
# one process is both the builder and what it answers through
echo $! | tee "$folder/pid" > "$folder/relay"
for _ in $(seq 600); do
  [ ! -S /run/buildkit/buildkitd.sock ] || exit 0
  kill -0 "$(cat "$folder/pid")" || { tail -n 20 /var/log/buildkitd.log >&2; exit 1; }
  sleep 0.02
done
exit 1
