#!/usr/bin/env bash
# Makes what minikube copies to a node's /etc/docker, whatever its runtime: node-tls.sh FOLDER DAYS NAMES
# Its CA is the testbed's; NAMES are those of its certificate, as `IP:127.0.0.1,DNS:localhost`.
set -euo pipefail
from=$DEVNET_TESTBED/minikube/.minikube
mkdir -p "$1"
cp "$from/certs/ca.pem" "$1/"; cp "$from/machines/server-key.pem" "$1/"
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
printf 'extendedKeyUsage=serverAuth\nkeyUsage=critical,digitalSignature,keyEncipherment\nsubjectAltName=%s\n' "$3" > "$work/names"
openssl req -new -key "$1/server-key.pem" -subj /O=minikube.node 2>/dev/null |
  openssl x509 -req -CA "$1/ca.pem" -CAkey "$from/certs/ca-key.pem" -set_serial "0x$(openssl rand -hex 8)" -days "$2" \
    -extfile "$work/names" -out "$1/server.pem" 2>/dev/null
