#!/usr/bin/env bash
# Makes a minikube-shaped home in $1/minikube, with the shapes and certificates that minikube writes
# and the addresses of the private engines, so that devnet meets what a minikube user has.
#   profiles: minikube (one VM node, 127.0.0.2), multi (127.0.0.2 and 127.0.0.3), three (and 127.0.0.1), pair (127.0.0.5 and 127.0.0.6), half (its second
#   node never listens), kic (docker driver,
#   127.0.0.2), stopped (127.0.0.9, nobody listens), containerd (another runtime), foreign (the
#   node's address with the certificates of another CA: DEVNET tests point at foreign-certs/)
set -euo pipefail
home=$1/minikube/.minikube
mkdir -p "$home"/{config,certs,machines,profiles,logs} "$1/fake-bin"
cp "$(dirname "$0")/minikube-stand-in.sh" "$1/fake-bin/minikube"

# one CA and one client for all profiles, RSA-2048, PKCS#1 keys, subjects that are only an O
tls() {
  local folder=$1 name=$2
  mkdir -p "$folder"
  openssl genrsa -traditional -out "$folder/ca-key.pem" 2048 2>/dev/null
  openssl req -x509 -new -key "$folder/ca-key.pem" -days 1080 -subj "/O=$name" -out "$folder/ca.pem" \
    -addext "keyUsage=critical,digitalSignature,keyEncipherment,keyCertSign" 2>/dev/null
  leaf "$folder" "$folder/key.pem" "$folder/cert.pem" "$name.<bootstrap>" clientAuth "" 1080
}
leaf() {
  local folder=$1 key=$2 certificate=$3 subject=$4 usage=$5 names=$6 days=$7
  openssl genrsa -traditional -out "$key" 2048 2>/dev/null
  { echo "extendedKeyUsage=$usage"; echo "keyUsage=critical,digitalSignature,keyEncipherment"; [ -z "$names" ] || echo "subjectAltName=$names"; } > "$folder/ext"
  openssl req -new -key "$key" -subj "/O=$subject" 2>/dev/null |
    openssl x509 -req -CA "$folder/ca.pem" -CAkey "$folder/ca-key.pem" -set_serial "0x$(openssl rand -hex 8)" -days "$days" -extfile "$folder/ext" -out "$certificate" 2>/dev/null
  rm "$folder/ext"
}

# keys take a second to make and are good for days: kept beside the build, per checkout
kept=$(cd "$(dirname "$0")/../.." && pwd)/target/testbed/tls-3
if [ ! -e "$kept/done" ] || [ -n "$(find "$kept/done" -mtime +30)" ]; then
  new=$(mktemp -d); trap 'rm -rf "$new"' EXIT
  tls "$new/certs" minikube
  leaf "$new/certs" "$new/server-key.pem" "$new/server.pem" minikube.minikube serverAuth \
    "IP:127.0.0.1,IP:127.0.0.2,IP:127.0.0.3,IP:127.0.0.5,IP:127.0.0.6,IP:127.0.0.7,DNS:localhost,DNS:minikube" 1080
  leaf "$new/certs" "$new/expired-key.pem" "$new/expired.pem" minikube.minikube serverAuth "IP:127.0.0.2,IP:127.0.0.4" 1
  tls "$new/foreign-certs" stranger
  touch "$new/done"; mkdir -p "$(dirname "$kept")"
  rm -rf "$kept"; mv -T "$new" "$kept" 2>/dev/null || [ -e "$kept/done" ]
  trap - EXIT
fi
cp "$kept"/certs/* "$home/certs/"; cp "$kept"/certs/{ca,cert,key}.pem "$home/"
cp "$kept"/server.pem "$kept"/server-key.pem "$home/machines/"
cp -r "$kept/foreign-certs" "$1/foreign-certs"

# shellcheck source=tests/testbed/minikube-records.sh
. "$(dirname "$0")/minikube-records.sh"
profile minikube kvm2 docker false "$(node "" 127.0.0.2 true docker)"; machine minikube kvm2 127.0.0.2
profile multi kvm2 docker true "$(node "" 127.0.0.2 true docker),$(node m02 127.0.0.3 false docker)"
machine multi kvm2 127.0.0.2; machine multi-m02 kvm2 127.0.0.3
# the third listens where the engine `moving` does
profile three kvm2 docker true "$(node "" 127.0.0.2 true docker),$(node m02 127.0.0.3 false docker),$(node m03 127.0.0.1 false docker)"
machine three kvm2 127.0.0.2; machine three-m02 kvm2 127.0.0.3; machine three-m03 kvm2 127.0.0.1
profile pair kvm2 docker true "$(node "" 127.0.0.5 true docker),$(node m02 127.0.0.6 false docker)"
machine pair kvm2 127.0.0.5; machine pair-m02 kvm2 127.0.0.6
profile half kvm2 docker true "$(node "" 127.0.0.2 true docker),$(node m02 127.0.0.9 false docker)"
machine half kvm2 127.0.0.2; machine half-m02 kvm2 127.0.0.9
profile kic docker docker false "$(node "" 127.0.0.2 true docker)"; machine kic docker ""
profile stopped kvm2 docker false "$(node "" 127.0.0.9 true docker)"; machine stopped kvm2 127.0.0.9
profile containerd kvm2 containerd false "$(node "" 127.0.0.2 true containerd)"; machine containerd kvm2 127.0.0.2
cat > "$home/config/config.json" <<'JSON'
{
    "driver": "kvm2",
    "profile": "minikube"
}
JSON
