# The `load` part of run.sh, which sources this: minikube's four images (2 or 20 files of 20 or
# 123 MB, a layer each, and a small program as the last layer) from the host's engine to one node
# and to three over TLS, beside `docker save | docker load` in the same run.
#   KINDS   which of them: few-small many-small few-large many-large; all that the disk has room for
#   FIRSTS  how often everything is loaded anew for a median (3)
#   PEERS   how often the slow pipe runs for a median (1)
# shellcheck shell=bash disable=SC2154  # host, node, devnet, certs, rounds, work: run.sh

tls() { # ADDRESS: the docker command for a node
  echo "$cli -H tcp://$1:2376 --tlsverify --tlscacert $certs/ca.pem --tlscert $certs/cert.pem --tlskey $certs/key.pem"
}
# What crossed loopback, in bytes: the nodes' TLS with all that TCP adds, and pushes where there are any.
wire() { awk '/ lo:/ { sub(/.*lo:/, ""); print $1 }' /proc/net/dev; }
seconds() { # COMMAND...: how long it took
  local start=$EPOCHREALTIME
  "$@" >"$work/out" 2>&1 || { echo "bench: '$*' failed:" >&2; tail -n 5 "$work/out" >&2; return 1; }
  awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.6f\n", b - a }'
}
on_host() { "$devnet" -q -H "unix://$DEVNET_TESTBED/host.sock" build "$@" >/dev/null; }
# the last layer anew, on the base that is there
again() { date +%N >> app/app; on_host -t bench:load app; }
# the same as an archive on disk, as docker writes it
archived() { again; "${host[@]}" save -o "$work/bench.tar" bench:load; }
forget() { # SOCKET: an engine without images
  local socket
  for socket in "$@"; do
    docker -H "unix://$DEVNET_TESTBED/$socket.sock" images -aq | sort -u | xargs -r docker -H "unix://$DEVNET_TESTBED/$socket.sock" rmi -f >/dev/null 2>&1 || true
    docker -H "unix://$DEVNET_TESTBED/$socket.sock" builder prune -af >/dev/null 2>&1 || true
  done
}

bench_load() { # KIND FILES MEGABYTES
  local kind=$1 files=$2 megabytes=$3 i ours peer before
  local one=("$devnet" load --from-host "unix://$DEVNET_TESTBED/host.sock" bench:load)
  local three=("$devnet" load -p three --from-host "unix://$DEVNET_TESTBED/host.sock" bench:load)
  local save="${host[*]} save bench:load"
  local pipe=(bash -c "set -o pipefail; $save | $(tls 127.0.0.2) load")
  local pipes=(bash -c "set -eo pipefail; for n in 2 3 1; do $save | $cli -H tcp://127.0.0.\$n:2376 ${node[*]:3} load; done")
  mkdir -p base app; cp "${busybox:=$(command -v busybox)}" app/program
  for ((i = 0; i < files; i++)); do
    # one file at a time: the disk holds each once
    head -c "${megabytes}M" /dev/urandom > base/file
    printf 'FROM %s\nCOPY file /files/%s\n' "$([ "$i" = 0 ] && echo scratch || echo bench:base)" "$i" > base/Dockerfile
    on_host -t bench:base base
    "${host[@]}" builder prune -af >/dev/null 2>&1 || true
  done
  rm -r base
  printf 'FROM bench:base\nCOPY program app /\n' > app/Dockerfile
  again
  local size=$((files * megabytes))
  # what the build left to be written is not paid by who comes first
  ours=$(rounds=${FIRSTS:-3} median 'forget node; sync' "${one[@]}")
  peer=$(rounds=${FIRSTS:-3} median 'forget node; sync' "${pipe[@]}")
  row "$kind ($size MB): load 1, nothing there" "$ours" "$peer" "save | load"
  # the node has the base, which this engine never pushed
  peers=$(rounds=${PEERS:-1} median again "${pipe[@]}")
  for i in 2 3; do
    again; row "$kind: load $i, last layer changed" "$(seconds "${one[@]}")" "$peers" "save | load"
  done
  row "$kind: last layer changed, median" "$(median again "${one[@]}")" "$peers" "save | load"
  again; before=$(wire); "${one[@]}" -o json > "$work/json" 2>/dev/null
  printf '%s: ' "$kind"
  python3 -c 'import json,sys; r=json.load(open(sys.argv[1]))[0]; print(r["layers_sent"], "of", r["layers_total"], "layers,", r["bytes_sent"], "bytes sent of", r["bytes_total"], end="; ")' "$work/json"
  echo "$(($(wire) - before)) bytes crossed loopback; the layer holds $(($(stat -c %s app/program) + $(stat -c %s app/app)))"
  row "$kind: nothing to do" "$(median true "${one[@]}")" "" ""
  again; echo "$kind: peak memory $(peak "${one[@]}")"
  ours=$(rounds=${FIRSTS:-3} median archived "$devnet" load "$work/bench.tar")
  peer=$(rounds=${PEERS:-1} median archived "${node[@]}" load -i "$work/bench.tar")
  row "$kind: from an archive on disk, last layer changed" "$ours" "$peer" "docker load -i"
  rm "$work/bench.tar"
  for i in 3 1; do
    # the others get the base one after the other: a node that loads unpacks to its disk first
    "$devnet" -q load -p three --node "$([ $i = 3 ] && echo three-m02 || echo three-m03)" --from-host "unix://$DEVNET_TESTBED/host.sock" bench:load
  done
  peers=$(rounds=1 median again "${pipes[@]}")
  row "$kind: three nodes, last layer changed" "$(median again "${three[@]}")" "$peers" "save | load, three times"
  row "$kind: three nodes, nothing to do" "$(median true "${three[@]}")" "" ""
  again; echo "$kind: three nodes, peak memory $(peak "${three[@]}")"
  forget host node node2 moving
  rm -rf app
}

for extra in node2 moving; do "$DEVNET_BENCH_ROOT/tests/testbed/engine.sh" start "$extra"; done
free=$(df --output=avail -BG "$work" | tail -n 1 | tr -dc 0-9)
for kind in ${KINDS:-few-small few-large many-small many-large}; do
  case $kind in
    few-small) shape="2 20" ;;
    many-small) shape="20 20" ;;
    few-large) shape="2 123" ;;
    many-large) shape="20 123" ;;
    *) echo "bench: no image '$kind'" >&2; exit 2 ;;
  esac
  # shellcheck disable=SC2086  # two words
  set -- $shape
  # on the host, on three nodes, once more while one unpacks, and in an archive
  needs=$(($1 * $2 * 7 / 1024 + 1))
  if [ "$free" -lt $((needs + 4)) ]; then echo "$kind: left out, it needs $needs GB and $free are free"; continue; fi
  bench_load "$kind" "$1" "$2"
done
