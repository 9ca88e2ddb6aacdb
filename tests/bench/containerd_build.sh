# Part of run.sh: a build on a containerd node, over ssh on loopback, through what stands for its buildkitd,
# beside `docker build` on a Docker node of the same machine. Where DEVNET_TESTBED_BUILDKITD names a real one,
# that is the node's builder, and the `buildctl` beside it the peer, through an ssh tunnel.
# shellcheck shell=bash disable=SC2154,SC2317  # its variables are run.sh's; `once` and `median` run functions by name

containerd_build_bench() {
  local testbed_node=$root/tests/testbed/node.sh i
  "$testbed_node" start benchbuild
  "$testbed_node" buildkitd benchbuild start
  local ours=(env "MINIKUBE_HOME=$DEVNET_TESTBED/benchbuild/minikube/.minikube" "$devnet")
  mkdir -p context/src
  for i in $(seq 16); do head -c $((size / 16))M /dev/urandom > "context/big$i"; done
  for i in $(seq 50); do echo "file $i" > "context/src/f$i"; done
  printf 'FROM scratch\nCOPY big* /big/\nCOPY src /src\n' > context/Dockerfile
  local build=("${ours[@]}" build -q -t bench:devnet context)
  local peer=("${node[@]}" build -q -t bench:docker context) peer_name="docker build, Docker node" tunnel=
  if [ -n "${DEVNET_TESTBED_BUILDKITD:-}" ]; then
    local machine=$DEVNET_TESTBED/benchbuild/minikube/.minikube/machines/benchbuild
    ssh -F none -N -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o BatchMode=yes -o ExitOnForwardFailure=yes -i "$machine/id_rsa" \
      -L "$work/buildkitd.sock:/run/buildkit/buildkitd.sock" "docker@127.0.7.$(cat "$DEVNET_TESTBED/benchbuild/number")" & tunnel=$!
    until [ -S "$work/buildkitd.sock" ]; do
      kill -0 "$tunnel" || { echo "bench: no tunnel to the builder" >&2; return 1; }
      sleep 0.1
    done
    # unpacked, as devnet leaves it: a pod that starts waits for nothing
    peer=("$(dirname "$DEVNET_TESTBED_BUILDKITD")/buildctl" --addr "unix://$work/buildkitd.sock" build --progress plain
      --frontend dockerfile.v0 --local context=context --local dockerfile=context
      --output "type=image,name=docker.io/library/bench:peer,unpack=true")
    peer_name="buildctl build, the same builder"
  fi
  local login; login=$(median true "${ours[@]}" status)
  row "containerd: L: login, sudo and one question (status)" "$login" "" ""
  anew() { # what stands for buildkitd begins with an empty cache
    "${ours[@]}" images rm bench:devnet || true
    "$testbed_node" buildkitd benchbuild stop; "$testbed_node" buildkitd benchbuild start
    "${ours[@]}" images rm bench:peer || true
    "${node[@]}" rmi -f bench:docker || true; "${node[@]}" builder prune -af || true; sync
  } >/dev/null 2>&1
  for ((i = 0; i < (rounds + 1) / 2; i++)); do
    # who is first in one round is second in the next
    if ((i % 2)); then once anew "${peer[@]}" >> peers; fi
    once anew "${build[@]}" >> ours
    if ((i % 2 == 0)); then once anew "${peer[@]}" >> peers; fi
  done
  row "containerd: build, $size MB context, first" "$(middle < ours)" "$(middle < peers)" "$peer_name"
  rm ours peers
  "${build[@]}" >/dev/null; "${peer[@]}" >/dev/null 2>&1
  of_build() { # WHAT BEFORE-COMMAND
    local took; took=$(median "$2" "${build[@]}")
    row "containerd: build, $1" "$took" "$(median "$2" "${peer[@]}")" "$peer_name"
    awk -v l="$login" -v a="$took" 'BEGIN { printf "  that is L %+.0f ms\n", (a - l) * 1000 }'
  }
  of_build "nothing changed" true
  of_build "one small file changed" 'date +%N > context/src/f7'
  printf '%-52s %9d bytes\n' "on the wire: nothing changed" "$(wire "${build[@]}")"
  head -c $((size / 16))M /dev/urandom > context/big3
  printf '%-52s %9d bytes  %9d changed\n' "on the wire: one large file changed" "$(wire "${build[@]}")" $((size / 16 << 20))
  echo "peak memory of build: $(peak "${build[@]}")"
  "${node[@]}" rmi -f bench:docker >/dev/null 2>&1; rm -rf context
  [ -z "$tunnel" ] || kill "$tunnel"
  "$testbed_node" stop benchbuild
}
