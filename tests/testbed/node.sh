#!/usr/bin/env bash
# Starts and stops nodes of minikube clusters that run containerd, inside the testbed (see run.sh).
#
#   node.sh start NAME [VERSION] starts it, if it does not run: containerd with CRI and CNI, sshd with the user `docker`, and
#                                minikube's records of it in $DEVNET_TESTBED/NAME/minikube/.minikube, as the
#                                profiles NAME (a machine), NAME-ssh, NAME-none and NAME-kic (those drivers)
#   node.sh run NAME COMMAND...  runs a command there as root
#   node.sh stop NAME | stop-all
#   node.sh restart NAME         kills all that runs there, and starts it with the disk it had
#   node.sh containerd NAME start|stop|kill|restart
#   node.sh buildkitd NAME start|stop|kill  what stands for buildkitd there; `start plain` is one that does not build
#                                into containerd, `second` starts another beside it and ends that
#   node.sh without NAME PROGRAM takes a program of /usr/bin away from it
#   node.sh cut NAME             ends every connection to its sshd
#   node.sh tree VERSION         prints the folder with that containerd's programs (1.6, 1.7, 2.1 or system)
#   node.sh sweep                removes the cgroups of runs that were killed
#
# A node has namespaces of its own for everything but users, and root's rights there. What a node of
# minikube's docker driver mounts noexec (/run, /tmp, /dev/shm) is so here; /etc and /var are its own.
# DEVNET_TESTBED_BUILDKITD is a real buildkitd, which then is the node's.
# DEVNET_TESTBED_CONTAINERD is the folder of the programs to use (`/` are this computer's), and
# DEVNET_TESTBED_DOCKERD that of the Docker engine which lies there and does not run. DEVNET_TESTBED_SNAPSHOTTER
# is the snapshotter of its pods (overlayfs where this computer can), and DEVNET_TESTBED_RUNC the folder of
# another runc; with DEVNET_TESTBED_SYSTEMD the first process is systemd.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
name=${2:-}
d=${DEVNET_TESTBED:-}/$name

say() { echo "testbed: $*" >&2; }

# Every cgroup hierarchy's folder here.
hierarchies() { awk '$3 ~ /^cgroup2?$/ { print $2 }' /proc/mounts; }

# Makes a cgroup and enters it, in every hierarchy: enter PATH
enter() {
  local at
  for at in $(hierarchies); do
    mkdir -p "$at/$1"
    # the older hierarchy of processors gives a new group none
    if [ -e "$at/$1/cpuset.cpus" ] && [ -e "$at/cpuset.cpus" ]; then
      local part=$at step
      for step in ${1//\// }; do
        cat "$part/cpuset.cpus" > "$part/$step/cpuset.cpus"; cat "$part/cpuset.mems" > "$part/$step/cpuset.mems"
        part=$part/$step
      done
    fi
    echo $$ > "$at/$1/cgroup.procs"
  done
}

# Lets groups below a path have every controller, where there is but one hierarchy: controllers PATH
controllers() {
  local at=/sys/fs/cgroup/$1 one all
  [ -e "$at/cgroup.controllers" ] || return 0
  all=$(cat "$at/cgroup.controllers")
  for one in $all; do echo "+$one" > "$at/cgroup.subtree_control" 2>/dev/null || true; done
}

# Removes a cgroup and those below it: leave PATH
leave() {
  local at
  for at in $(hierarchies); do
    [ ! -d "$at/$1" ] || find "$at/$1" -depth -type d -exec rmdir {} + 2>/dev/null || true
  done
}

inside() { # COMMAND...
  local pid; pid=$(cat "$d/pid")
  nsenter -t "$pid" --mount --uts --ipc --net --cgroup --pid="/proc/$pid/ns/pid_for_children" -- \
    env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 "$@"
}

case ${1:-} in
  tree)
    case ${2:-system} in
      system) echo / ;;
      1.6) exec "$here/engine.sh" tree 20.10 ;;
      1.7) exec "$here/engine.sh" tree 26 ;;
      2.1) exec "$here/engine.sh" tree 28 ;;
      *) say "no containerd '$2': system, 1.6, 1.7 or 2.1"; exit 2 ;;
    esac ;;

  start)
    if [ -n "${3:-}" ]; then DEVNET_TESTBED_CONTAINERD=$("$0" tree "$3"); export DEVNET_TESTBED_CONTAINERD; fi
    mkdir -p "$DEVNET_TESTBED/nodes"
    exec 8> "$DEVNET_TESTBED/nodes/$name.lock"; flock 8
    if [ -e "$d/ready" ]; then exit 0; fi
    # the number is the node's everywhere: its address, its subnet, its link
    if [ -e "$d/number" ]; then
      number=$(cat "$d/number")
    else
      number=1; until mkdir "$DEVNET_TESTBED/nodes/$number" 2>/dev/null; do number=$((number + 1)); done
      mkdir -p "$d"
      echo "$number" > "$d/number"
      "$here/node-home.sh" "$d" "$name" "127.0.7.$number" "192.168.$((48 + number)).2"
    fi
    address=127.0.7.$number
    group=$(basename "$DEVNET_TESTBED")/$name
    # not a group of processes of this script's: it outlives it
    setsid "$0" enter "$name" "$group" > "$d/log" 2>&1 < /dev/null 8>&- 9>&- &
    pid=$!; echo "$pid" > "$d/pid"
    failed() { say "the node '$name' did not start:"; tail -n 20 "$d/log" "$d/var/log/containerd.log" >&2 || true; "$0" stop "$name"; exit 1; }
    for _ in $(seq 3000); do
      [ -e "$d/namespaces" ] && break
      kill -0 "$pid" 2>/dev/null || failed
      sleep 0.02
    done
    ip link add "node$number" type veth peer name eth0 netns "$pid"
    ip address add "192.168.$((48 + number)).1/24" dev "node$number"
    ip link set "node$number" up
    # where this computer reaches its runtime, whichever process it has now
    ln -sfn "/proc/$pid/root/run/containerd/containerd.sock" "$d/containerd.sock"
    touch "$d/linked"
    # what leads to a virtual machine or a published port of a container
    for port in 22 2376; do
      setsid socat -b 65536 "TCP-LISTEN:$port,bind=$address,fork,reuseaddr,backlog=100,nodelay" "TCP:192.168.$((48 + number)).2:$port,nodelay" \
        > "$d/forward.log" 2>&1 < /dev/null 8>&- 9>&- &
      echo $! > "$d/forward-$port"
    done
    for _ in $(seq 3000); do
      [ -e "$d/ready" ] && exit 0
      kill -0 "$pid" 2>/dev/null || failed
      sleep 0.02
    done
    failed ;;

  # what follows runs on the way in: in its cgroup first, whose root the namespace shows, then as process 1
  enter)
    controllers ""; enter "$3"; controllers "$(dirname "$3")"
    exec unshare --cgroup "$0" unshare "$name" "$3" ;;
  unshare)
    enter "$3/init"; controllers "$3"
    exec unshare --mount --pid --net --uts --ipc --fork --kill-child --mount-proc "$here/node-init.sh" "$d" "$name" ;;

  run) shift 2; inside "$@" ;;

  halt)
    for forward in "$d"/forward-*; do
      [ ! -e "$forward" ] || kill -- "-$(cat "$forward")" 2>/dev/null || true
    done
    pid=$(cat "$d/pid"); kill -KILL "$pid" 2>/dev/null || true
    # its processes die a moment after it, and only then are its folders free
    for _ in $(seq 400); do
      leave "$(basename "$DEVNET_TESTBED")/$name"
      [ -n "$(for at in $(hierarchies); do ls -d "$at/$(basename "$DEVNET_TESTBED")/$name" 2>/dev/null || true; done)" ] || break
      sleep 0.02
    done
    rm -f "$d"/{namespaces,linked,ready,pid} "$d"/forward-* ;;

  restart)
    "$0" halt "$name"
    exec "$0" start "$name" ;;

  stop)
    [ -e "$d/number" ] || exit 0
    [ ! -e "$d/pid" ] || "$0" halt "$name"
    number=$(cat "$d/number")
    rm -rf --one-file-system "$d" "$DEVNET_TESTBED/nodes/$number" ;;

  stop-all)
    for number in "$DEVNET_TESTBED"/*/number; do
      [ ! -e "$number" ] || "$0" stop "$(basename "$(dirname "$number")")"
    done
    leave "$(basename "$DEVNET_TESTBED")" ;;

  containerd)
    case $3 in
      start) inside /etc/containerd/start ;;
      kill) inside /etc/containerd/stop KILL ;;
      stop) inside /etc/containerd/stop TERM ;;
      restart) inside /etc/containerd/stop TERM; inside /etc/containerd/start ;;
    esac ;;

  # a Docker engine of version 28, whose programs are out of sight there: the file that is open leads to them
  buildkitd)
    folder=/var/lib/buildkit
    case $3 in
      start|second)
        tree=$("$here/engine.sh" tree 28)
        snapshotter=$(sed -n 's/^ *snapshotter = "\(.*\)"/\1/p' "$d/etc/containerd/config.toml")
        flags=(--storage-driver vfs)
        [ "${4:-}" = plain ] || flags=(--containerd-namespace k8s.io --containerd-plugins-namespace k8s.io-plugins
          --feature containerd-snapshotter=true --storage-driver "$snapshotter")
        mkdir -p "$d/var/lib/buildkit"
        if [ -n "${DEVNET_TESTBED_BUILDKITD:-}" ] && [ "$3 ${4:-}" = "start " ]; then
          inside "$here/node-buildkitd-real.sh" "$DEVNET_TESTBED_BUILDKITD" "$folder" "$snapshotter"
          exit 0
        fi
        cp "$here/buildkitd-relay.py" "$here/node-buildkitd.sh" "$d/var/lib/buildkit/"
        exec 7< "$tree/usr/sbin/dockerd"
        if [ "$3" = second ]; then
          # shellcheck disable=SC2016  # the node's shell expands them
          inside sh -c 'd=$(mktemp -d -p /var/tmp); echo "{}" > "$d/config"
            "$0" --config-file "$d/config" --data-root "$d/data" --exec-root "$d/exec" --pidfile "$d/pid" -H "unix://$d/sock" --bridge none \
              --iptables=false --ip6tables=false --containerd /run/containerd/containerd.sock "$@" > "$d/log" 2>&1 & pid=$!
            until curl -sf --unix-socket "$d/sock" http://engine/_ping > /dev/null 2>&1; do kill -0 $pid || exit 1; sleep 0.02; done
            kill $pid; while kill -0 $pid 2>/dev/null; do sleep 0.02; done; umount -l "$d/data"; rm -rf "$d"' /proc/self/fd/7 "${flags[@]}"
          exit 0
        fi
        inside "$folder/node-buildkitd.sh" /proc/self/fd/7 "$folder/buildkitd-relay.py" "$folder" \
          --containerd /run/containerd/containerd.sock "${flags[@]}" ;;
      stop|kill)
        signal=TERM; [ "$3" = stop ] || signal=KILL
        # shellcheck disable=SC2016  # the node's shell expands them
        inside sh -c 'for file in relay pid; do
            pid=$(cat "$2/$file"); kill -"$1" "$pid"
            while [ -e "/proc/$pid" ]; do sleep 0.02; done
          done; rm -f /run/buildkit/buildkitd.sock' sh "$signal" "$folder" ;;
    esac ;;

  # of the folder that it shares with this computer it has a copy from then on
  without)
    # shellcheck disable=SC2016  # the node's shell expands them
    inside sh -ec '
      if ! grep -q " /usr/bin overlay " /proc/mounts; then
        mkdir -p /var/cache/bin; mount -t tmpfs tmpfs /var/cache/bin; mkdir /var/cache/bin/upper /var/cache/bin/work
        mount -t overlay overlay -o lowerdir=/usr/bin,upperdir=/var/cache/bin/upper,workdir=/var/cache/bin/work /usr/bin
        for program in containerd-shim-runc-v2 ctr; do
          if [ "$1" != / ]; then cp "$1/usr/bin/$program" /usr/bin/; fi
        done
      fi
      rm "/usr/bin/$0"' "$3" "${DEVNET_TESTBED_CONTAINERD:-/}" ;;

  cut)
    listener=$(cat "$d/forward-22")
    for stat in /proc/[0-9]*/stat; do
      # the second word may hold blanks, and its end is the last bracket
      read -r fields < "$stat" 2>/dev/null || continue
      parent=${fields##*) ? }; parent=${parent%% *}
      [ "$parent" != "$listener" ] || kill -KILL "${fields%% *}" 2>/dev/null || true
    done ;;

  sweep)
    for at in $(hierarchies); do
      for group in "$at"/devnet-testbed.*; do
        # one whose folder is gone and that has no process is nobody's
        if [ ! -d "$group" ] || [ -d "${TMPDIR:-/tmp}/$(basename "$group")" ]; then continue; fi
        [ -n "$(find "$group" -name cgroup.procs -exec cat {} +)" ] || leave "$(basename "$group")"
      done
    done ;;
  *) sed -n '2,18p' "$0" >&2; exit 2 ;;
esac
