#!/usr/bin/env bash
# Starts what stands for buildkitd in a node (see node.sh), inside its namespaces:
#   node-buildkitd.sh DOCKERD RELAY FOLDER [FLAG...]
# A Docker engine on the node's own containerd, in the namespace of its pods, behind a relay that speaks
# as buildkitd does. FLAGs are the engine's. FOLDER gets its data, new at each start, and its files of process numbers.
set -euo pipefail
dockerd=$1 relay=$2 folder=$3; shift 3
mkdir -p "$folder" /run/buildkit
echo '{}' > "$folder/daemon.json"
rm -f "$folder/docker.sock" "$folder/docker.pid" /run/buildkit/buildkitd.sock
# what it kept before is not its own any more
data=$(mktemp -d -p "$folder")
setsid "$dockerd" --config-file "$folder/daemon.json" --data-root "$data" --exec-root /run/buildkit/exec \
  --pidfile "$folder/docker.pid" -H "unix://$folder/docker.sock" \
  --bridge none --iptables=false --ip6tables=false "$@" >> /var/log/buildkitd.log 2>&1 < /dev/null &
echo $! > "$folder/pid"
for _ in $(seq 600); do
  curl -sf --unix-socket "$folder/docker.sock" http://engine/_ping > /dev/null 2>&1 && break
  kill -0 "$(cat "$folder/pid")" || { tail -n 20 /var/log/buildkitd.log >&2; exit 1; }
  sleep 0.05
done
setsid /usr/bin/python3 "$relay" /run/buildkit/buildkitd.sock "$folder/docker.sock" >> /var/log/buildkitd.log 2>&1 < /dev/null &
echo $! > "$folder/relay"
for _ in $(seq 600); do
  [ ! -S /run/buildkit/buildkitd.sock ] || exit 0
  kill -0 "$(cat "$folder/relay")" || { tail -n 20 /var/log/buildkitd.log >&2; exit 1; }
  sleep 0.02
done
exit 1
