#!/usr/bin/env bash
# Makes minikube's records of a node (see node.sh), with its keys: node-home.sh FOLDER NAME ADDRESS OWN-ADDRESS
set -euo pipefail
home=$1/minikube/.minikube
mkdir -p "$home"/{config,certs,machines,profiles,logs}
# keys take a while to make: kept beside the build, per checkout
kept=$(cd "$(dirname "$0")/../.." && pwd)/target/testbed/node-keys-1
if [ ! -e "$kept/done" ]; then
  new=$(mktemp -d); trap 'rm -rf "$new"' EXIT
  ssh-keygen -q -N "" -t rsa -b 2048 -m PEM -C "" -f "$new/id_rsa"
  ssh-keygen -q -N "" -t ed25519 -C "" -f "$new/host_ed25519"
  ssh-keygen -q -N "" -t rsa -b 2048 -C "" -f "$new/host_rsa"
  touch "$new/done"; mkdir -p "$(dirname "$kept")"
  rm -rf "$kept"; mv -T "$new" "$kept" 2>/dev/null || [ -e "$kept/done" ]
  trap - EXIT
fi
cp -r "$kept" "$1/keys"

# shellcheck source=tests/testbed/minikube-records.sh
. "$(dirname "$0")/minikube-records.sh"
records() { # PROFILE DRIVER ADDRESS
  profile "$1" "$2" containerd false "$(node "" "$3" true containerd)"
  machine "$1" "$2" "$3"
  cp "$kept/id_rsa" "$kept/id_rsa.pub" "$home/machines/$1/"
}
records "$2" kvm2 "$3"
records "$2-ssh" ssh "$3"
records "$2-none" none "$4"
records "$2-kic" docker "$4"
# what a person proves who they are with, and what minikube copies to the node whatever its runtime
from=$DEVNET_TESTBED/minikube/.minikube
cp "$from"/certs/{ca,cert,key}.pem "$home/certs/"; cp "$from"/certs/{ca,cert,key}.pem "$home/"
"$(dirname "$0")/node-tls.sh" "$1/tls" 1080 "IP:127.0.0.1,IP:$3,IP:$4,DNS:localhost,DNS:minikube,DNS:$2"
printf '{\n    "profile": "%s"\n}\n' "$2" > "$home/config/config.json"
