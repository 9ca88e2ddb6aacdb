# Part of run.sh: a cri-o node (the stand-in that the tests have for it, and a real podman) over ssh on
# loopback, beside what a person has there today: ssh, the OCI runtime and podman.
#   CRIO_GROUND   the tests' program that serves it; the newest that was built
# shellcheck shell=bash disable=SC2154,SC2317  # its variables are run.sh's; `median` runs functions by name

crio_ground() { # prints the newest of the tests' programs
  local one newest=''
  for one in "$root"/target/debug/deps/it-*; do
    if [ -x "$one" ] && { [ -z "$newest" ] || [ "$one" -nt "$newest" ]; }; then newest=$one; fi
  done
  echo "$newest"
}

crio_bench() {
  local ground=${CRIO_GROUND:-} login address ready=$DEVNET_TESTBED/benchcrio.ready
  [ -n "$ground" ] || ground=$(crio_ground)
  mkfifo asks
  "$ground" crio_bench::serve --exact --ignored < asks > "$work/ground" 2>&1 &
  local served=$!
  exec 7> asks
  until [ -e "$ready" ]; do
    kill -0 "$served" 2>/dev/null || { echo "bench: no cri-o node:" >&2; tail -n 20 "$work/ground" >&2; return 1; }
    sleep 0.1
  done
  local home=$DEVNET_TESTBED/benchcrio/minikube/.minikube loads; loads=$(cat "$ready")
  address=127.0.7.$(cat "$DEVNET_TESTBED/benchcrio/number")
  local ours=(env "MINIKUBE_HOME=$home" "$devnet" -p benchcrio)
  local ssh=(ssh -F none -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o BatchMode=yes
    -i "$home/machines/benchcrio/id_rsa" "docker@$address")
  above() { # WHAT OURS PEER PEER-NAME
    row "$@"
    awk -v l="$login" -v a="$2" 'BEGIN { printf "  that is L %+.0f ms\n", (a - l) * 1000 }'
  }
  echo "24 pods, 60 containers on cri-o:"
  login=$(median true "${ours[@]}" status)
  row "L: login, sudo and one question (status)" "$login" "$(median true "${ssh[@]}" sudo -n true)" "ssh node sudo -n true"
  "${ours[@]}" status -o json | python3 -c 'import json,sys; r=json.load(sys.stdin)["nodes"][0]["round_trip_ms"]; print(f"one CRI request over the kept connection: {r} ms")'
  crio_pods
  crio_load
  exec 7>&-
  wait "$served"
}

crio_pods() {
  above "pods --no-probe" "$(median true "${ours[@]}" pods --no-probe)" "" ""
  above "pods, cold, with proof" "$(median true "${ours[@]}" pods)" "" ""
  local id; id=$("${ours[@]}" inspect bench-3 -o json | python3 -c 'import json,sys; print(json.load(sys.stdin)["pods"][0]["containers"][0]["id"])')
  above "exec POD -- true" "$(median true "${ours[@]}" exec bench-3 -c app -- true)" \
    "$(median true "${ssh[@]}" "sudo runc --root /run/crun exec $id true")" "ssh node runc exec"
  # until the line is there: what the command does after it keeps nobody waiting
  # shellcheck disable=SC2016  # run by `bash -c`
  local first=(bash -c 'read -r line < <("$@")' --)
  above "logs, the first line" "$(median 'sleep 0.3' "${first[@]}" "${ours[@]}" logs bench-3 -c app)" \
    "$(median 'sleep 0.3' "${first[@]}" "${ssh[@]}" 'sudo sh -c "head -n 1 /var/log/pods/default_bench-3_*/app/0.log"')" "ssh node head"
  echo "loud 100000" >&7
  # conmon breaks a line where its buffer ends: each has one last part
  until [ "$("${ssh[@]}" 'sudo sh -c "cat /var/log/pods/default_loud_*/*/0.log 2>/dev/null" | grep -c " F "')" = 300000 ]; do sleep 0.1; done
  row "logs, 3 x 100,000 lines merged" "$(median true "${ours[@]}" logs loud --timestamps)" \
    "$(median true "${ssh[@]}" 'sudo sh -c "cat /var/log/pods/default_loud_*/*/0.log"')" "ssh node cat"
  echo "without events (its default: lists, once a second):"
  python3 "$root/tests/bench/watch_kill.py" "$rounds" "${ours[@]}" pods --watch -o json
  echo events >&7
  echo "with enable_pod_events:"
  python3 "$root/tests/bench/watch_kill.py" "$rounds" "${ours[@]}" pods --watch -o json
  echo "peak memory of pods: $(peak "${ours[@]}" pods); of pods --no-probe: $(peak "${ours[@]}" pods --no-probe)"
}

crio_load() {
  local on_host=("$devnet" -q -H "unix://$DEVNET_TESTBED/host.sock" build) i
  local ours=(env "MINIKUBE_HOME=$loads" "$devnet") key=$loads/machines/benchcrioload/id_rsa
  local address; address=127.0.7.$(cat "$DEVNET_TESTBED/benchcrioload/number")
  local one=("${ours[@]}" load --from-host "unix://$DEVNET_TESTBED/host.sock" bench:crio)
  local import="${host[*]} save bench:crio | ${ssh[*]:0:11} -i $key docker@$address sudo podman load -q"
  again() { date +%N >> app/app; "${on_host[@]}" -t bench:crio app >/dev/null; }
  archived() { again; "${host[@]}" save -o "$work/bench.tar" bench:crio; }
  mkdir -p base app; cp "$(command -v busybox)" app/program
  for i in 0 1; do
    head -c 20M /dev/urandom > base/file
    printf 'FROM %s\nCOPY file /files/%s\n' "$([ "$i" = 0 ] && echo scratch || echo bench:crio-base)" "$i" > base/Dockerfile
    "${on_host[@]}" -t bench:crio-base base >/dev/null
  done
  rm -r base
  printf 'FROM bench:crio-base\nCOPY program app /\n' > app/Dockerfile
  again
  echo "2 x 20 MB and a small program on top, to cri-o:"
  login=$(median true "${ours[@]}" status)
  row "L: login, sudo and one question (status)" "$login" "" ""
  row "load, nothing there" "$(rounds=1 median true "${one[@]}")" "" ""
  above "load, last layer changed" "$(median again "${one[@]}")" "$(median again bash -o pipefail -c "$import")" "save | podman load"
  again; "${one[@]}" >/dev/null 2>&1
  above "load, nothing to do" "$(median true "${one[@]}")" "" ""
  above "load from an archive on disk, last layer changed" "$(median archived "${ours[@]}" load "$work/bench.tar")" "" ""
  again; echo "peak memory of load: $(peak "${one[@]}")"
  "${host[@]}" rmi -f bench:crio bench:crio-base >/dev/null 2>&1 || true
  rm -rf app "$work/bench.tar"
}
