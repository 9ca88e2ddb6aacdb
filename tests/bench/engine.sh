# Part of run.sh: the Docker engine that devnet runs on a containerd node, beside the same dockerd on a
# containerd store of its own.
# shellcheck shell=bash disable=SC2154,SC2317  # its variables are run.sh's; `once` and `median` run functions by name

engine_bench() {
  local scripts=$root/tests/testbed tree
  tree=$("$scripts/engine.sh" tree 28)
  # the containerd of the same suite on both sides
  DEVNET_TESTBED_DOCKERD=$tree ENGINE_CONTAINERD=${ENGINE_CONTAINERD:-2.1} "$scripts/node.sh" start bencheng
  local home=$DEVNET_TESTBED/bencheng/minikube/.minikube at
  local ours=(env "MINIKUBE_HOME=$home" "$devnet") in_node=("$scripts/node.sh" run bencheng)
  stopped() { "${ours[@]}" engine stop --yes; } >/dev/null 2>&1
  local login; login=$(median true "${ours[@]}" status)
  row "engine: L: login, sudo and one question (status)" "$login" "" ""
  above() { # WHAT SECONDS
    row "$1" "$2" "" ""
    awk -v l="$login" -v a="$2" 'BEGIN { printf "  that is L %+.0f ms\n", (a - l) * 1000 }'
  }
  above "engine start" "$(median stopped "${ours[@]}" engine start)"
  above "env that starts it" "$(median stopped "${ours[@]}" env --shell bash)"
  row "env, the engine runs (its handshake included)" "$(median true "${ours[@]}" env --shell bash)" "" ""
  # at a prompt: at a loopback address, as a forwarded port has it, and at the node's own
  local used address=192.168.$((48 + $(cat "$DEVNET_TESTBED/bencheng/number"))).2
  local own=$work/own/.minikube
  mkdir "$work/own"; cp -r "$home" "$own"
  grep -rlF "127.0.7." "$own/profiles" "$own/machines" | xargs sed -i "s/127\\.0\\.7\\.[0-9]*/$address/g"
  for at in "$home" "$own"; do
    mapfile -t used < <(MINIKUBE_HOME=$at "$devnet" use --shell none | sed '/^[A-Z_]*$/d')
    # shellcheck disable=SC2163  # each word is NAME=VALUE
    row "hook, at a prompt; ${used[1]}" "$(export "${used[@]}" "MINIKUBE_HOME=$at"; median true "$devnet" hook --prompt bash)" "" ""
  done

  DEVNET_TESTBED_TREE=$tree DEVNET_TESTBED_ENGINE=28c "$scripts/engine.sh" start swept
  local cli=$tree/usr/bin/docker
  mkdir -p "$work/plugins"
  printf '{"cliPluginsExtraDirs":["%s/usr/libexec/docker/cli-plugins"]}' "$tree" > "$work/plugins/config.json"
  local by=(env DOCKER_BUILDKIT=1 "DOCKER_CONFIG=$work/plugins" "$cli")
  local tls=(--tlsverify --tlscacert "$certs/ca.pem" --tlscert "$certs/cert.pem" --tlskey "$certs/key.pem")
  local through=("${by[@]}" -H "tcp://$address:2376" "${tls[@]}") own=("${by[@]}" -H tcp://127.0.0.7:2376 "${tls[@]}")
  mkdir -p context/src
  for i in $(seq 16); do head -c $((size / 16))M /dev/urandom > "context/big$i"; done
  for i in $(seq 50); do echo "file $i" > "context/src/f$i"; done
  printf 'FROM scratch\nCOPY big* /big/\nCOPY src /src\n' > context/Dockerfile
  local build=("${through[@]}" build -q -t bench:through context) peer=("${own[@]}" build -q -t bench:own context)
  anew() {
    "${through[@]}" rmi -f bench:through; "${through[@]}" builder prune -af
    "${own[@]}" rmi -f bench:own; "${own[@]}" builder prune -af; sync
  } >/dev/null 2>&1
  for ((i = 0; i < rounds; i++)); do
    once anew "${build[@]}" >> ours; once anew "${peer[@]}" >> peers
  done
  row "docker build, $size MB context, first" "$(middle < ours)" "$(middle < peers)" "the same dockerd, its own store"
  rm ours peers
  "${build[@]}" >/dev/null 2>&1; "${peer[@]}" >/dev/null 2>&1
  row "docker build, nothing changed" "$(median true "${build[@]}")" "$(median true "${peer[@]}")" "the same dockerd, its own store"
  python3 "$root/tests/bench/requests.py" "/proc/$(cat "$DEVNET_TESTBED/bencheng/pid")/root/run/devnet/docker.sock" "$DEVNET_TESTBED/swept.sock"
  # shellcheck disable=SC2016  # the node's shell expands them
  "${in_node[@]}" sh -c 'for name in dockerd devnet-docker; do for pid in $(pgrep -x $name); do echo "memory of $name ($pid): $(sed -n "s/^VmRSS: *//p" /proc/$pid/status)"; done; done'
  rm -rf context
  stopped
  "$scripts/engine.sh" stop swept; "$scripts/node.sh" stop bencheng
}
