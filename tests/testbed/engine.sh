#!/usr/bin/env bash
# Starts, stops and fetches the private engines of the testbed (see run.sh).
#
#   engine.sh tree VERSION       prints the folder with that version's programs; fetches it if it must
#   engine.sh start NAME         starts it in $DEVNET_TESTBED: `node`, `node2`, `moving`, `pair`, `pair-m02` and `swept` listen
#                                with TLS too, any other name on its socket alone. DEVNET_TESTBED_TREE and
#                                DEVNET_TESTBED_ENGINE pick another version than the testbed's;
#                                DEVNET_TESTBED_CONFIG is its daemon.json
#   engine.sh stop NAME          stops it and waits for its end
#   engine.sh stop-all
#   engine.sh sweep              removes what a killed run left on disk
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)

say() { echo "testbed: $*" >&2; }

# Debian's suites and the versions that they carry.
fetch() {
  local suite=$1 tree=$2 packages=${3:-docker.io containerd}
  [ "$suite" = bookworm ] || [ -n "${3:-}" ] || packages="$packages docker-cli docker-buildx"
  local work; work=$(mktemp -d)
  rm -rf "$tree.new"; mkdir -p "$work"/{lists/partial,cache/archives/partial} "$tree.new"
  local mirror
  # shellcheck disable=SC2016  # apt's own placeholder
  mirror=$(apt-get indextargets --format '$(SITE)' 2>/dev/null | grep -m1 '/debian/\?$') || mirror=
  [ -n "$mirror" ] || { say "no Debian mirror is configured: engine of $suite can't be fetched"; exit 1; }
  echo "deb $mirror $suite main" > "$work/sources.list"
  local apt=(apt-get -qq -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o Dir::State::Lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root)
  "${apt[@]}" update
  # what these libraries are called changes with the suite
  case " $packages " in *" podman "*)
    packages+=" $(apt-cache "${apt[@]:2}" depends podman | sed -nE 's/^ *Depends: (lib(subid|gpgme)[0-9][^ ]*)$/\1/p' | tr '\n' ' ')" ;;
  esac
  # shellcheck disable=SC2086
  (cd "$work" && "${apt[@]}" download $packages)
  local deb; for deb in "$work"/*.deb; do dpkg -x "$deb" "$tree.new"; done
  mv "$tree.new" "$tree"; rm -rf "$work"
}

case ${1:-} in
  tree)
    version=${2:-system}
    case $version in
      system)
        if ! command -v dockerd >/dev/null; then
          command -v apt-get >/dev/null || { say "install a Docker engine (dockerd): this is no Debian or Ubuntu"; exit 1; }
          say "installing docker.io"
          DEBIAN_FRONTEND=noninteractive apt-get -qq update >&2
          DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends docker.io >&2
        fi
        echo / ;;
      20.10) suite=bookworm ;;&
      26) suite=trixie ;;&
      28|28c) suite=sid; version=28 ;;&
      20.10|26|28|28c)
        tree=$root/target/testbed/engine-$version
        [ -d "$tree" ] || { say "fetching the engine of $suite"; mkdir -p "$(dirname "$tree")"; fetch "$suite" "$tree" >&2; }
        echo "$tree" ;;
      # with the C library that they want: a node lays it over its own /usr
      podman-5.4) suite=trixie ;;&
      podman-5.8) suite=sid ;;&
      podman-5.4|podman-5.8)
        tree=$root/target/testbed/$version
        if [ ! -d "$tree" ]; then
          say "fetching podman of $suite"; mkdir -p "$(dirname "$tree")"
          fetch "$suite" "$tree" "podman conmon netavark aardvark-dns libc6 libgcc-s1 libassuan9 libgpg-error0 libseccomp2 libsqlite3-0" >&2
        fi
        echo "$tree" ;;
      # the first of Debian's that maps the users of mounts
      runc-1.3)
        tree=$root/target/testbed/$version
        [ -d "$tree" ] || { say "fetching runc of sid"; mkdir -p "$(dirname "$tree")"; fetch sid "$tree" "runc libc6 libgcc-s1 libseccomp2" >&2; }
        echo "$tree" ;;
      *) say "no engine '$version': system, 20.10, 26, 28, 28c, podman-5.4, podman-5.8 or runc-1.3"; exit 2 ;;
    esac ;;

  start)
    name=$2; tree=${DEVNET_TESTBED_TREE:-/}; d=$DEVNET_TESTBED/$name
    mkdir -p "$d/bin"
    if [ "$tree" != / ]; then
      for program in containerd containerd-shim-runc-v2 ctr docker-init; do ln -sf "$tree/usr/bin/$program" "$d/bin/"; done
      for program in dockerd docker-proxy; do ln -sf "$tree/usr/sbin/$program" "$d/bin/"; done
      # a newer suite's runc wants a newer glibc than this system may have
      ln -sf "$(command -v runc || echo /usr/sbin/runc)" "$d/bin/runc"
    fi
    export PATH=$d/bin:$PATH:/usr/sbin:/sbin
    flags=()
    # a feature may stand in one place only
    [ "${DEVNET_TESTBED_ENGINE:-}${DEVNET_TESTBED_CONFIG:-}" = 28c ] && flags+=(--feature containerd-snapshotter=true)
    address=
    case $name in
      node) address=127.0.0.2 ;;
      node2) address=127.0.0.3 ;;
      moving) address=127.0.0.1 ;;
      pair) address=127.0.0.5 ;;
      pair-m02) address=127.0.0.6 ;;
      swept) address=127.0.0.7 ;;
    esac
    if [ -n "$address" ]; then
      tls=$DEVNET_TESTBED/minikube/.minikube/machines
      flags+=(-H "tcp://$address:${DEVNET_TESTBED_PORT:-2376}" --tlsverify --tlscacert "$DEVNET_TESTBED/minikube/.minikube/certs/ca.pem"
        --tlscert "$tls/server.pem" --tlskey "$tls/server-key.pem")
    fi
    config=${DEVNET_TESTBED_CONFIG:-}; [ -n "$config" ] || config='{}'
    echo "$config" > "$d/daemon.json"
    # plugins are looked for in one place of the computer: an engine with its own sees that alone
    own=()
    if [ -n "${DEVNET_TESTBED_PLUGINS:-}" ]; then
      # shellcheck disable=SC2016  # the inner shell expands them
      own=(unshare --mount sh -c 'mkdir -p /run/docker && mount -t tmpfs tmpfs /run/docker && mkdir /run/docker/plugins && mount --bind "$0" /run/docker/plugins && exec "$@"' "$DEVNET_TESTBED_PLUGINS")
    fi
    DOCKER_MIN_API_VERSION=${DOCKER_MIN_API_VERSION:-} setsid "${own[@]}" dockerd --config-file "$d/daemon.json" --data-root "$d/data" \
      --exec-root "$d/exec" --pidfile "$d/pid" -H "unix://$DEVNET_TESTBED/$name.sock" \
      --bridge none --iptables=false --ip6tables=false "${flags[@]}" \
      > "$d/log" 2>&1 < /dev/null 9>&- &
    for _ in $(seq 600); do
      # the socket is there before the engine answers
      if curl -sf --unix-socket "$DEVNET_TESTBED/$name.sock" http://engine/_ping >/dev/null 2>&1; then exit 0; fi
      # the pid stands in its file a moment after the file is there
      [ -s "$d/pid" ] && ! kill -0 "$(cat "$d/pid")" 2>/dev/null && break
      sleep 0.05
    done
    say "the engine '$name' did not start:"; tail -n 5 "$d/log" >&2; exit 1 ;;

  stop)
    d=$DEVNET_TESTBED/$2
    [ -e "$d/pid" ] || exit 0
    pid=$(cat "$d/pid"); kill "$pid" 2>/dev/null || exit 0
    for _ in $(seq 400); do kill -0 "$pid" 2>/dev/null || exit 0; sleep 0.05; done
    kill -KILL "$pid" ;;

  stop-all) for name in host node node2 moving spare lab; do "$0" stop "$name"; done ;;

  sweep)
    for left in "${TMPDIR:-/tmp}"/devnet-testbed.*; do
      [ -e "$left/lock" ] || continue
      # a lock that can be had belongs to nobody
      if flock -n "$left/lock" true; then rm -rf --one-file-system "$left" 2>/dev/null || true; fi
    done ;;
  *) sed -n '2,12p' "$0" >&2; exit 2 ;;
esac
