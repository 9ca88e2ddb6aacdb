# Part of run.sh: a containerd node as minikube has it, over ssh on loopback, beside what a person has
# there today: ssh and containerd's own client.
# shellcheck shell=bash disable=SC2154  # its variables are run.sh's

containerd_bench() {
  local pods containers
  for size in "24 60" "100 250"; do
    read -r pods containers <<< "$size"
    "$root/tests/testbed/node.sh" start bench
    python3 "$root/tests/testbed/node_pods.py" bench "$pods" "$containers"
    containerd_of "$pods" "$containers"
    "$root/tests/testbed/node.sh" stop bench
  done
}

containerd_of() { # PODS CONTAINERS
  local home=$DEVNET_TESTBED/bench/minikube/.minikube address login
  address=127.0.7.$(cat "$DEVNET_TESTBED/bench/number")
  local MINIKUBE_HOME=$home; export MINIKUBE_HOME
  local ours=("$devnet" -p bench)
  local ssh=(ssh -F none -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o BatchMode=yes
    -i "$home/machines/bench/id_rsa" "docker@$address")
  echo "$1 pods, $2 containers on containerd:"
  login=$(median true "${ours[@]}" status)
  row "L: login, sudo and one question (status)" "$login" "$(median true "${ssh[@]}" sudo -n true)" "ssh node sudo -n true"
  "${ours[@]}" status -o json | python3 -c 'import json,sys; r=json.load(sys.stdin)["nodes"][0]["round_trip_ms"]; print(f"one CRI request over the kept connection: {r} ms")'
  above() { # WHAT OURS PEER PEER-NAME
    row "$@"
    awk -v l="$login" -v a="$2" 'BEGIN { printf "  that is L %+.0f ms\n", (a - l) * 1000 }'
  }
  # shellcheck disable=SC2016  # the node's shell expands it
  local all='sudo sh -c "ctr -n k8s.io tasks ls; for id in \$(ctr -n k8s.io containers ls -q); do ctr -n k8s.io containers info \$id; done"'
  above "pods --no-probe" "$(median true "${ours[@]}" pods --no-probe)" "$(median true "${ssh[@]}" "$all")" "ssh node ctr ls + info"
  above "pods, cold, with proof" "$(median true "${ours[@]}" pods)" "" ""
  local id; id=$("${ours[@]}" inspect bench-3 -o json | python3 -c 'import json,sys; print(json.load(sys.stdin)["pods"][0]["containers"][0]["id"])')
  above "exec POD -- true" "$(median true "${ours[@]}" exec bench-3 -c app -- true)" \
    "$(median true "${ssh[@]}" "sudo ctr -n k8s.io tasks exec --exec-id bench-\$\$ $id true")" "ssh node ctr tasks exec"
  # until the line is there: what the command does after it keeps nobody waiting
  # shellcheck disable=SC2016  # run by `bash -c`
  local first=(bash -c 'read -r line < <("$@")' --)
  above "logs, the first line" "$(median 'sleep 0.3' "${first[@]}" "${ours[@]}" logs bench-3 -c app)" \
    "$(median 'sleep 0.3' "${first[@]}" "${ssh[@]}" 'sudo sh -c "head -n 1 /var/log/pods/default_bench-3_*/app/0.log"')" "ssh node head"
  python3 "$root/tests/testbed/node_pods.py" bench loud 100000
  until [ "$("${ssh[@]}" 'sudo sh -c "cat /var/log/pods/default_loud_*/*/0.log" | wc -l')" = 300000 ]; do :; done
  row "logs, 3 x 100,000 lines merged" "$(median true "${ours[@]}" logs loud --timestamps)" \
    "$(median true "${ssh[@]}" 'sudo sh -c "cat /var/log/pods/default_loud_*/*/0.log"')" "ssh node cat"
  python3 "$root/tests/bench/watch_kill.py" "$rounds" "${ours[@]}" pods --watch -o json
  echo "peak memory of pods: $(peak "${ours[@]}" pods); of pods --no-probe: $(peak "${ours[@]}" pods --no-probe)"
}
