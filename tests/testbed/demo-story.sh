#!/usr/bin/env bash
# The demo's story, told on the engines of the testbed: demo-story.sh DEVNET [lab]
# shellcheck disable=SC2016  # the commands are shown as a person types them, and expanded by `show`
set -euo pipefail
devnet=$1 only=${2:-all}
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT

bold='' cyan='' plain=''
if [ -t 1 ]; then bold=$'\e[1m' cyan=$'\e[36m' plain=$'\e[0m'; fi
say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
# shows a command as a person would type it, then runs it
show() { printf '%s$ %s%s\n' "$cyan" "$1" "$plain"; eval "$1"; }
devnet() { "$devnet" "$@"; }

if [ "$only" = all ]; then
  export HOME=$work MINIKUBE_HOME=$DEVNET_TESTBED/minikube/.minikube
  unset DOCKER_HOST DOCKER_TLS_VERIFY DOCKER_CERT_PATH DOCKER_CONTEXT
  cd "$work"

  say "1. Point this shell at the cluster's Docker engine"
  show 'devnet env --shell bash'
  show 'eval "$(devnet env --shell bash)"'
  show 'devnet status'
  if command -v docker >/dev/null; then show "docker version --format 'docker now talks to engine {{.Server.Version}}'"; fi

  say "2. Build a small project in the cluster: only what changed crosses the wire"
  cp -r "$root/templates/demo" project
  # the project's server is the program that devnet carries anyway: no registry is needed
  cp "$root/target/probes/devnet-probe-$(uname -m)" project/server
  show 'devnet build --progress plain -t hello:dev project'
  show 'echo "<p>changed" >> project/site/index.html; time devnet build -q -t hello:dev project'

  say "3. Bring an image from this computer's engine: only the layers that the node lacks"
  mkdir -p image; head -c 40M /dev/urandom > image/base; echo one > image/app
  printf 'FROM scratch\nCOPY base /\nCOPY app /\n' > image/Dockerfile
  show 'devnet -q -H "unix://$DEVNET_TESTBED/host.sock" build -t shop:dev image      # on this computer'
  show 'devnet load --from-host "unix://$DEVNET_TESTBED/host.sock" shop:dev'
  show 'echo two > image/app; devnet -q -H "unix://$DEVNET_TESTBED/host.sock" build -t shop:dev image'
  show 'time devnet load --from-host "unix://$DEVNET_TESTBED/host.sock" shop:dev'
  target=
else
  target="-p lab "
fi

say "4. A pod on plain Docker: a pause container that holds the network, and two containers that join it"
show "devnet ${target}lab up"
show "devnet ${target}pods"
show "devnet ${target}inspect web"
show "devnet ${target}logs web --tail 4"

say "5. A container dies: its replacement joins the same sandbox, and the IP stays"
show "devnet ${target}lab kill web -c client"
show "devnet ${target}pods"

say "6. The pause container dies: the pod's network is gone, and a new sandbox gets a new IP"
show "devnet ${target}lab kill web"
show "devnet ${target}pods"

if [ "$only" = all ]; then
  say "7. Another cluster, with containerd (minikube's default): the same commands, over minikube's own ssh login"
  "$root/tests/testbed/node.sh" start ctr
  python3 "$root/tests/testbed/node_pods.py" ctr web
  containerd() { MINIKUBE_HOME=$DEVNET_TESTBED/ctr/minikube/.minikube "$devnet" "$@"; }
  devnet() { case "$*" in "-p ctr"*) containerd "$@" ;; *) "$devnet" "$@" ;; esac; }
  show 'devnet -p ctr pods --ns'
  show 'devnet -p ctr exec web -c client -- wget -qO- http://localhost:8080/'
  show 'devnet -p ctr logs web --tail 3'
fi

say "8. Clean up: nothing of devnet stays"
show "devnet ${target}lab down"
if [ "$only" = all ]; then
  show 'eval "$(devnet env --shell bash --unset)"; env | grep -c DOCKER_ || true'
fi
