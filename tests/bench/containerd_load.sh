# Part of run.sh: `devnet load` to nodes with containerd over ssh on loopback, to one and to three, beside
# `docker save | ssh node sudo ctr images import -`, with the images that minikube's own benchmark has
# (2 or 20 files of 20 or 123 MB, a layer each, and a small program as the last layer).
#   KINDS   which of them: few-small many-small few-large many-large; all that the disk has room for
#   FIRSTS  how often everything is loaded anew for a median (3)
# shellcheck shell=bash disable=SC2154,SC2317  # its variables are run.sh's; `once` and `median` run functions by name

on_host() { "$devnet" -q -H "unix://$DEVNET_TESTBED/host.sock" build "$@" >/dev/null; }
again() { date +%N >> app/app; on_host -t bench:ctr app; }
archived() { again; "${host[@]}" save -o "$work/bench.tar" bench:ctr; }
# the nodes forget all but the images of sandboxes and of tests
forget() {
  local one
  for one in "${all[@]}"; do
    # shellcheck disable=SC2016  # the node's shell expands it
    "$root/tests/testbed/node.sh" run "$one" sh -c 'for name in $(ctr -n k8s.io images ls -q | grep -e bench:); do ctr -n k8s.io images rm --sync "$name"; done
      ctr -n k8s.io leases create --id bench; ctr -n k8s.io leases delete --sync bench'
  done >/dev/null 2>&1
  for one in "${all[@]}"; do MINIKUBE_HOME=$(home_of "$one") "$devnet" images prune --yes; done >/dev/null 2>&1
  sync
}
home_of() { echo "$DEVNET_TESTBED/$1/minikube/.minikube"; }
ssh_to() { # NODE: the ssh command
  echo "ssh -F none -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o BatchMode=yes" \
    "-i $(home_of "$1")/machines/$1/id_rsa docker@127.0.7.$(cat "$DEVNET_TESTBED/$1/number")"
}
import() { # NODE...: what a person has today, one after the other
  local one save="${host[*]} save bench:ctr" line="set -eo pipefail;"
  for one in "$@"; do line+=" $save | $(ssh_to "$one") sudo ctr -n k8s.io images import $flags -;"; done
  echo "$line"
}
three_nodes() { # makes the profile `three` of the nodes
  mkdir -p three/.minikube/{profiles/three,config,machines}; cp -r "$(home_of benchload)/certs" three/.minikube/
  python3 - "$DEVNET_TESTBED" "${all[@]}" <<'PY'
import json, os, shutil, sys
testbed, names = sys.argv[1], sys.argv[2:]
home = os.path.abspath("three/.minikube")
nodes = []
for place, name in enumerate(names):
    short = f"m{place + 1:02}" if place else ""
    machine = f"three-{short}" if place else "three"
    folder = f"{home}/machines/{machine}"
    number = open(f"{testbed}/{name}/number").read().strip()
    shutil.copytree(f"{testbed}/{name}/minikube/.minikube/machines/{name}", folder)
    record = json.load(open(f"{folder}/config.json"))
    record["Driver"].update(IPAddress=f"127.0.7.{number}", MachineName=machine, SSHKeyPath=f"{folder}/id_rsa", StorePath=home)
    record["Name"] = machine
    json.dump(record, open(f"{folder}/config.json", "w"))
    nodes.append({"Name": short, "IP": f"127.0.7.{number}", "Port": 8443, "ContainerRuntime": "containerd", "ControlPlane": not place, "Worker": True})
first = json.load(open(f"{testbed}/{names[0]}/minikube/.minikube/profiles/{names[0]}/config.json"))
first.update(Name="three", Nodes=nodes)
first["KubernetesConfig"].update(ClusterName="three")
json.dump(first, open(f"{home}/profiles/three/config.json", "w"))
json.dump({"profile": "three"}, open(f"{home}/config/config.json", "w"))
PY
}
above() { # WHAT OURS PEER PEER-NAME L
  row "$1" "$2" "$3" "$4"
  awk -v l="$5" -v a="$2" 'BEGIN { printf "  that is L %+.0f ms\n", (a - l) * 1000 }'
}

containerd_load_of() { # KIND FILES MEGABYTES
  local kind=$1 files=$2 megabytes=$3 i ours peer
  mkdir -p base app; cp "$(command -v busybox)" app/program
  for ((i = 0; i < files; i++)); do
    head -c "${megabytes}M" /dev/urandom > base/file
    printf 'FROM %s\nCOPY file /files/%s\n' "$([ "$i" = 0 ] && echo scratch || echo bench:ctr-base)" "$i" > base/Dockerfile
    on_host -t bench:ctr-base base
    "${host[@]}" builder prune -af >/dev/null 2>&1 || true
  done
  rm -r base
  printf 'FROM bench:ctr-base\nCOPY program app /\n' > app/Dockerfile
  again
  # in turn: what the disk does is the same for both
  for ((i = 0; i < ${FIRSTS:-3}; i++)); do
    once forget "${one[@]}" >> ours; once forget bash -c "$(import benchload)" >> peers
  done
  row "$kind ($((files * megabytes)) MB): load 1, nothing there" "$(middle < ours)" "$(middle < peers)" "save | ctr import"
  rm ours peers
  forget; "${one[@]}" >/dev/null 2>&1
  peer=$(rounds=${FIRSTS:-3} median again bash -c "$(import benchload)")
  above "$kind: last layer changed" "$(median again "${one[@]}")" "$peer" "save | ctr import" "$login"
  again
  printf '%-52s %9d bytes  %9d in the layer\n' "$kind: on the wire, last layer changed" "$(wire "${one[@]}")" \
    "$(($(stat -c %s app/program) + $(stat -c %s app/app)))"
  above "$kind: nothing to do" "$(median true "${one[@]}")" "" "" "$login"
  again; echo "$kind: peak memory $(peak "${one[@]}")"
  above "$kind: from an archive on disk, last layer changed" "$(median archived "${one[@]:0:4}" "$work/bench.tar")" "" "" "$login"
  rm "$work/bench.tar"
  "${three[@]}" >/dev/null 2>&1
  peer=$(rounds=1 median again bash -c "$(import "${all[@]}")")
  above "$kind: three nodes, last layer changed" "$(median again "${three[@]}")" "$peer" "save | ctr import, three times" "$logins"
  above "$kind: three nodes, nothing to do" "$(median true "${three[@]}")" "" "" "$logins"
  again; echo "$kind: three nodes, peak memory $(peak "${three[@]}")"
  forget; "${host[@]}" rmi -f bench:ctr bench:ctr-base >/dev/null 2>&1 || true
  rm -rf app
}

containerd_load_bench() {
  local all=(benchload benchload2 benchload3) name login logins flags="" free kind needs
  for name in "${all[@]}"; do "$root/tests/testbed/node.sh" start "$name"; done
  three_nodes
  # shellcheck disable=SC2046  # words
  if $(ssh_to benchload) ctr images import --help 2>/dev/null | grep -q -- --local; then flags=--local; fi
  local snapshotter; snapshotter=$(sed -n 's/^ *snapshotter = "\(.*\)"/\1/p' "$DEVNET_TESTBED/benchload/etc/containerd/config.toml")
  flags+=" --snapshotter $snapshotter"
  local ours=(env "MINIKUBE_HOME=$(home_of benchload)" "$devnet") both=(env "MINIKUBE_HOME=$work/three/.minikube" "$devnet")
  local one=("${ours[@]}" load --from-host "unix://$DEVNET_TESTBED/host.sock" bench:ctr)
  local three=("${both[@]}" load --from-host "unix://$DEVNET_TESTBED/host.sock" bench:ctr)
  login=$(median true "${ours[@]}" status); logins=$(median true "${both[@]}" status)
  row "containerd: L: login, sudo and one question (status)" "$login" "" ""
  row "containerd: L to three nodes" "$logins" "" ""
  free=$(df --output=avail -BG "$work" | tail -n 1 | tr -dc 0-9)
  for kind in ${KINDS:-few-small few-large many-small many-large}; do
    case $kind in
      few-small) set -- 2 20 ;;
      many-small) set -- 20 20 ;;
      few-large) set -- 2 123 ;;
      many-large) set -- 20 123 ;;
      *) echo "bench: no image '$kind'" >&2; exit 2 ;;
    esac
    # on the host; on three nodes, packed and unpacked; in an archive
    needs=$(($1 * $2 * 8 / 1024 + 1))
    if [ "$free" -lt $((needs + 4)) ]; then echo "$kind: left out, it needs $needs GB and $free are free"; continue; fi
    containerd_load_of "$kind" "$1" "$2"
  done
  for name in "${all[@]}"; do "$root/tests/testbed/node.sh" stop "$name"; done
}
