#!/usr/bin/env bash
# devnet beside its peers on one engine, in one run: medians and ratios. `make bench` runs this
# inside the testbed; BENCH="env build load pods logs containerd containerd-build containerd-load crio engine lab" picks parts, ROUNDS sets how often (10),
# SIZE the megabytes of the large context (480), DEVNET_BENCH another devnet than the one just
# built; `load` has more switches (load.sh).
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
devnet=${DEVNET_BENCH:-$root/target/release/devnet}
rounds=${ROUNDS:-10} size=${SIZE:-480}
work=$(mktemp -d "$DEVNET_TESTBED/bench.XXXX"); cd "$work"
certs=$DEVNET_TESTBED/minikube/.minikube/certs
export MINIKUBE_HOME=$DEVNET_TESTBED/minikube/.minikube HOME=$work
export DOCKER_BUILDKIT=1
# a docker command that can build on BuildKit: built in before 23, else with its buildx
mkdir -p "$work/.docker"
printf '{"cliPluginsExtraDirs":["%s/usr/libexec/docker/cli-plugins"]}' "${DEVNET_TESTBED_TREE%/}" > "$work/.docker/config.json"
cli=docker
for candidate in "${DEVNET_TESTBED_TREE%/}/usr/bin/docker" $(type -ap docker); do
  [ -x "$candidate" ] || continue
  major=$("$candidate" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
  if [ "$major" -lt 23 ] || "$candidate" buildx version >/dev/null 2>&1; then cli=$candidate; break; fi
done
node=("$cli" -H tcp://127.0.0.2:2376 --tlsverify --tlscacert "$certs/ca.pem" --tlscert "$certs/cert.pem" --tlskey "$certs/key.pem")
host=("$cli" -H "unix://$DEVNET_TESTBED/host.sock")
unset DOCKER_HOST DOCKER_TLS_VERIFY DOCKER_CERT_PATH

# seconds that COMMAND takes once, after BEFORE-COMMAND
once() { # BEFORE COMMAND...
  local start end
  eval "$1"; shift
  start=$EPOCHREALTIME
  "$@" >"$work/out" 2>&1 || { echo "bench: '$*' failed:" >&2; tail -n 5 "$work/out" >&2; return 1; }
  end=$EPOCHREALTIME
  awk -v a="$start" -v b="$end" 'BEGIN { printf "%.6f\n", b - a }'
}
middle() { sort -n | awk '{ v[NR] = $1 } END { print (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
# the same `rounds` times: the median
median() { # BEFORE COMMAND...
  local i
  for ((i = 0; i < rounds; i++)); do once "$@" || return 1; done | middle
}
row() { # WHAT OURS PEER PEER-NAME
  awk -v w="$1" -v a="$2" -v b="$3" -v n="$4" 'BEGIN {
    if (b + 0 == 0) printf "%-52s %9.1f ms\n", w, a * 1000
    else printf "%-52s %9.1f ms  %9.1f ms  %6.2f x  (%s)\n", w, a * 1000, b * 1000, a / b, n }'
}
peak() { # COMMAND...: peak memory in MB
  python3 - "$@" <<'PY'
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
print(f"{resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss/1024:.0f} MB")
PY
}
# sent over loopback so far, in this network namespace
lo_bytes() { awk '$1 == "lo:" { print $10 }' /proc/net/dev; }
wire() { # COMMAND...: bytes over loopback meanwhile
  local before; before=$(lo_bytes)
  "$@" >/dev/null 2>&1
  echo $(($(lo_bytes) - before))
}
wanted() { case " ${BENCH:-env build load pods logs containerd containerd-build containerd-load crio engine lab} " in *" $1 "*) ;; *) return 1 ;; esac; }

echo "engine $("${node[@]}" version --format '{{.Server.Version}}'), $(nproc) cores, medians of $rounds; over TLS on loopback"
printf '%-52s %12s  %12s  %8s\n' "" devnet peer ratio

if wanted env; then
  row "env --shell bash" "$(median true "$devnet" env --shell bash)" "" ""
  row "env, shell detected" "$(median true "$devnet" env)" "" ""
  # a docker-driver profile as on a Mac: only the host engine knows the port
  tar -C / -c bin/busybox | "${host[@]}" import - bench/kic >/dev/null
  "${host[@]}" network create --subnet 10.203.78.0/24 bench >/dev/null
  "${host[@]}" run -d --name kic --network bench -p 127.0.0.1::2376 bench/kic /bin/busybox sleep 3600 >/dev/null
  forwarded=(env WSL_DISTRO_NAME=here "DOCKER_HOST=unix://$DEVNET_TESTBED/host.sock")
  row "env, one host inspect" "$(median true "${forwarded[@]}" "$devnet" -p kic env --shell bash)" "" ""
  # what a hooked shell has after `devnet use`
  used() { "$@" use --shell none | sed '/^[A-Z_]*$/d'; }
  mapfile -t vm < <(used "$devnet")
  mapfile -t port < <(used "${forwarded[@]}" MINIKUBE_PROFILE=kic "$devnet")
  # as a prompt calls it, which starts no `env` in between
  # shellcheck disable=SC2163  # each word is NAME=VALUE
  at_prompt() { (export "$@"; median true "$devnet" hook --prompt bash); }
  row "hook, at a prompt" "$(at_prompt "${vm[@]}")" "" ""
  row "hook, at a prompt, forwarded port" "$(at_prompt "${forwarded[@]:1}" "${port[@]}")" "" ""
  if command -v minikube >/dev/null; then row "minikube docker-env" "$(median true minikube docker-env -p minikube --shell bash)" "" ""; fi
  "${host[@]}" rm -f kic >/dev/null; "${host[@]}" network rm bench >/dev/null
  row "status (TLS, whole process)" "$(median true "$devnet" status)" "$(median true "${node[@]}" version)" "docker version"
  "$devnet" status -o json | python3 -c 'import json,sys; r=json.load(sys.stdin)["nodes"][0]["round_trip_ms"]; print(f"one request over a kept TLS connection: {r} ms")'
  echo "peak memory of env: $(peak "$devnet" env --shell bash)"
fi

if wanted build; then
  mkdir -p context/src
  for i in $(seq 16); do head -c $((size / 16))M /dev/urandom > "context/big$i"; done
  for i in $(seq 50); do echo "file $i" > "context/src/f$i"; done
  printf 'FROM scratch\nCOPY big* /big/\nCOPY src /src/\n' > context/Dockerfile
  build=("$devnet" build -q -t bench:devnet context)
  # the docker command of this engine's age: built-in BuildKit before 23, buildx since
  peer=("${node[@]}" build -q -t bench:docker context)
  # in turn, and nothing left to write from before: the disk is what both need
  anew() { "${node[@]}" rmi -f bench:devnet bench:docker || true; "${node[@]}" builder prune -af || true; sync; } >/dev/null 2>&1
  for ((i = 0; i < rounds; i++)); do
    once anew "${build[@]}" >> ours; once anew "${peer[@]}" >> peers
  done
  row "build, $size MB context, first" "$(middle < ours)" "$(middle < peers)" "docker build"
  "${build[@]}" >/dev/null
  row "build, nothing changed" "$(median true "${build[@]}")" "$(median true "${peer[@]}")" "docker build"
  row "build, one small file changed" "$(median 'date +%N > context/src/f7' "${build[@]}")" "$(median 'date +%N > context/src/f7' "${peer[@]}")" "docker build"
  # what crosses the wire, headers and answers included: nothing else uses this network
  other=("$devnet" build -q -t bench:other -f context/Other context)
  printf 'FROM scratch\nCOPY src /src\n' > context/Other
  "${other[@]}" >/dev/null; "${build[@]}" >/dev/null
  printf '%-52s %9d bytes\n' "on the wire: nothing changed" "$(wire "${build[@]}")"
  "${other[@]}" >/dev/null
  printf '%-52s %9d bytes\n' "on the wire: another Dockerfile built in between" "$(wire "${build[@]}")"
  head -c $((size / 16))M /dev/urandom > context/big3
  printf '%-52s %9d bytes  %9d changed\n' "on the wire: one large file changed" "$(wire "${build[@]}")" $((size / 16 << 20))
  echo "peak memory of build: $(peak "${build[@]}")"
  "${node[@]}" rmi -f bench:devnet bench:docker bench:other >/dev/null 2>&1; rm -rf context

  mkdir many
  for d in $(seq 200); do mkdir "many/$d"; for f in $(seq 100); do echo "$d $f" > "many/$d/$f"; done; done
  printf 'FROM scratch\nCOPY . /\n' > many/Dockerfile
  build=("$devnet" build -q -t bench:devnet many) peer=("${node[@]}" build -q -t bench:docker many)
  "${build[@]}" >/dev/null; "${peer[@]}" >/dev/null 2>&1
  row "build, 20,000 files, nothing changed" "$(median true "${build[@]}")" "$(median true "${peer[@]}")" "docker build"
  "${node[@]}" rmi -f bench:devnet bench:docker >/dev/null 2>&1; rm -rf many

  # the images of minikube's own image benchmark: a base of large files, a small program on top
  for image in "few 2 20" "few-large 2 123" "many 20 20" "many-large 20 123"; do
    read -r name files megabytes <<< "$image"
    mkdir base app
    for i in $(seq "$files"); do head -c "${megabytes}M" /dev/urandom > "base/$i"; done
    printf 'FROM scratch\n' > base/Dockerfile
    for i in $(seq "$files"); do echo "COPY $i /" >> base/Dockerfile; done
    "$devnet" build -q -t bench:base base >/dev/null; rm -r base
    printf 'FROM bench:base\nCOPY app /\n' > app/Dockerfile
    row "build, $name ($files x $megabytes MB), program changed" \
      "$(median 'head -c 1M /dev/urandom > app/app' "$devnet" build -q -t bench:devnet app)" \
      "$(median 'head -c 1M /dev/urandom > app/app' "${node[@]}" build -q -t bench:docker app)" "docker build"
    "${node[@]}" rmi -f bench:devnet bench:docker bench:base >/dev/null 2>&1; rm -r app
    "${node[@]}" builder prune -af >/dev/null 2>&1 || true
  done
fi

if wanted load; then
  DEVNET_BENCH_ROOT=$root
  # shellcheck source-path=SCRIPTDIR source=load.sh
  . "$root/tests/bench/load.sh"
fi

if wanted pods; then
  H=(-H "tcp://127.0.0.2:2376" --tls-cert-path "$certs")
  S=(-H "unix://$DEVNET_TESTBED/node.sock")
  # so many pods, half of them with a second container
  manifests() {
    local i
    for i in $(seq "$1"); do
      printf -- '---\n{apiVersion: v1, kind: Pod, metadata: {name: bench-%s}, spec: {containers: [{name: app, image: devnet-probe, args: [serve, "8080"]}' "$i"
      [ $((i % 2)) = 0 ] || printf ', {name: side, image: devnet-probe, args: [serve, "9090"]}'
      echo ']}}'
    done
  }
  manifests 20 > pods.yaml; "$devnet" -q "${S[@]}" lab up pods.yaml >/dev/null 2>&1
  row "check of 20 pods from inside each of the 20" "$(median true "$devnet" "${H[@]}" check)" "" ""
  # 250 containers with the sandboxes
  manifests 100 > pods.yaml; "$devnet" -q "${S[@]}" lab up pods.yaml >/dev/null 2>&1
  # shellcheck disable=SC2016  # expanded by the inner shell
  all=(bash -c '"$@" inspect $("$@" ps -aq)' -- "${node[@]}")
  echo "$("${node[@]}" ps -q | wc -l) containers in 100 pods:"
  row "pods --no-probe" "$(median true "$devnet" "${H[@]}" pods --no-probe)" "$(median true "${all[@]}")" "docker ps + inspect"
  row "pods, cold" "$(median true "$devnet" "${H[@]}" pods)" "" ""
  row "graph" "$(median true "$devnet" "${H[@]}" graph)" "" ""
  row "graph -o html" "$(median true "$devnet" "${H[@]}" graph -o html)" "" ""
  row "inspect, cold" "$(median true "$devnet" "${H[@]}" inspect bench-7)" "" ""
  echo "peak memory of pods: $(peak "$devnet" "${H[@]}" pods); of pods --no-probe: $(peak "$devnet" "${H[@]}" pods --no-probe)"
  python3 "$root/tests/bench/watch.py" "$rounds" "$DEVNET_TESTBED/node.sock" "$devnet" "${H[@]}" pods --watch -o json
  for probe in "$root"/target/probes/devnet-probe-*; do echo "${probe##*/}: $(($(wc -c < "$probe") / 1000)) KB"; done
  "$devnet" "${S[@]}" lab down >/dev/null 2>&1
fi

if wanted logs; then
  # shellcheck source-path=SCRIPTDIR source=logs.sh
  . "$root/tests/bench/logs.sh"
  logs_bench
fi

if wanted containerd; then
  # shellcheck source-path=SCRIPTDIR source=containerd.sh
  . "$root/tests/bench/containerd.sh"
  containerd_bench
fi

if wanted containerd-build; then
  # shellcheck source-path=SCRIPTDIR source=containerd_build.sh
  . "$root/tests/bench/containerd_build.sh"
  containerd_build_bench
fi

if wanted containerd-load; then
  # shellcheck source-path=SCRIPTDIR source=containerd_load.sh
  . "$root/tests/bench/containerd_load.sh"
  containerd_load_bench
fi

if wanted crio; then
  # shellcheck source-path=SCRIPTDIR source=crio.sh
  . "$root/tests/bench/crio.sh"
  crio_bench
fi

if wanted engine; then
  # shellcheck source-path=SCRIPTDIR source=engine.sh
  . "$root/tests/bench/engine.sh"
  engine_bench
fi

if wanted lab; then
  lab=("$devnet" -H "unix://$DEVNET_TESTBED/node.sock" lab)
  gone() { quietly "${lab[@]}" down bench || true; }
  quietly() { "$@" >/dev/null 2>&1; }
  quietly "${lab[@]}" up
  # the image stays while another pod does
  "$devnet" new pod --set name=bench > pod.yaml
  podman='' podman_name=''
  if command -v podman >/dev/null; then
    podman=$(median 'podman kube down pod.yaml >/dev/null 2>&1 || true' podman kube play pod.yaml) || podman=''
    podman_name="podman kube play"
  fi
  row "lab up, a pod of two containers" "$(median gone "${lab[@]}" up pod.yaml)" "$podman" "$podman_name"
  row "lab kill -c, a container replaced" "$(median true "${lab[@]}" kill bench -c client)" "" ""
  row "lab kill, a sandbox replaced" "$(median true "${lab[@]}" kill bench)" "" ""
  rounds_before=$rounds; rounds=1
  for i in $(seq 100); do "$devnet" new pod --set "name=many-$i"; echo ---; done > many.yaml
  row "lab up, 100 such pods" "$(median true "${lab[@]}" up many.yaml)" "" ""
  row "lab down, all of them" "$(median true "${lab[@]}" down)" "" ""
  row "lab prove" "$(median true "${lab[@]}" prove)" "" ""
  rounds=$rounds_before
fi
