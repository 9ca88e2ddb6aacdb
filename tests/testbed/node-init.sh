#!/usr/bin/env bash
# Process 1 of a node (see node.sh), in its new namespaces: node-init.sh FOLDER NAME
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
d=$1 name=$2
number=$(cat "$d/number")
cd /
mount --make-rprivate /
# what other engines of the testbed have mounted goes when they do, and is no node's; it may be gone by now
mounted() { awk -v all="$DEVNET_TESTBED/" -v own="$d" 'index($2, all) == 1 && $2 != own && index($2, own "/") != 1 { print $2 }' /proc/mounts; }
mounted | tac | while read -r at; do
  umount -l "$at" 2>/dev/null || if mounted | grep -qxF -- "$at"; then echo "testbed: '$at' stays mounted" >&2; exit 1; fi
done
hostname "$name"
touch "$d/namespaces"

[ -d "$d/etc" ] || "$here/node-disk.sh" "$d" "$name"

# with the C library that it wants
if [ -n "${DEVNET_TESTBED_RUNC:-}" ]; then
  mount -t overlay overlay -o "lowerdir=$DEVNET_TESTBED_RUNC/usr:/usr" /usr
fi
# the version's own programs where the system's are
for program in containerd containerd-shim-runc-v2 ctr; do
  if [ "${DEVNET_TESTBED_CONTAINERD:-/}" != / ]; then
    mount --bind "$DEVNET_TESTBED_CONTAINERD/usr/bin/$program" "/usr/bin/$program"
  fi
done
# a Docker engine is there and does not run, as on every node of minikube's
if [ "${DEVNET_TESTBED_DOCKERD:-/}" != / ]; then
  for program in sbin/dockerd sbin/docker-proxy; do
    mount --bind "$DEVNET_TESTBED_DOCKERD/usr/$program" "/usr/$program"
  done
fi

mount --bind "$d/minikube/.minikube" "$d/var/home/person/.minikube"
mount --rbind "$d/var" /var
mount --bind "$d/etc" /etc
cgroups=$(awk '$3 ~ /^cgroup2?$/ { print $2, $3, $4 }' /proc/mounts)
mount -t sysfs sysfs /sys
echo "$cgroups" | grep -q '^/sys/fs/cgroup ' || mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
echo "$cgroups" | while read -r at kind options; do
  mkdir -p "$at"
  # of a hierarchy's options only its controllers, or its name, say which it is
  options=$(echo "$options" | tr , '\n' | grep -Evx 'rw|ro|relatime|nosuid|nodev|noexec|nsdelegate|memory_recursiveprot|memory_hugetlb_accounting|xattr|release_agent=.*|clone_children' | paste -sd, || true)
  case $options in name=*) options=none,$options ;; esac
  if [ "$kind" = cgroup2 ]; then mount -t cgroup2 cgroup2 "$at"; else mount -t cgroup -o "$options" cgroup "$at"; fi
done
mount -t tmpfs -o nosuid,nodev,noexec,mode=1777 tmpfs /dev/shm

ip link set lo up
until [ -e "$d/linked" ]; do sleep 0.01; done
ip address add "192.168.$((48 + number)).2/24" dev eth0
ip link set eth0 up
ip route add default via "192.168.$((48 + number)).1"
echo 1 > /proc/sys/net/ipv4/ip_forward

# from here on the testbed's own folder is out of sight: its parts are in their places
exec 5> "$d/ready.new" 6< "$d"
mount -t tmpfs -o nosuid,nodev,noexec,mode=755 tmpfs /run
mkdir -p /run/{sshd,lock,netns}
/usr/sbin/sshd -E /var/log/sshd.log
if [ -e /var/cache/imported ]; then
  /etc/containerd/start
else
  "$here/node-images.sh" /var/cache/images.tar &
  images=$!
  /etc/containerd/start
  wait "$images"
  snapshotter=$(sed -n 's/^ *snapshotter = "\(.*\)"/\1/p' /etc/containerd/config.toml)
  # newer ones have a service for it that knows one snapshotter
  local=(); if ctr images import --help | grep -q -- --local; then local=(--local); fi
  ctr -n k8s.io images import "${local[@]}" --snapshotter "$snapshotter" /var/cache/images.tar
  # what was unpacked is not kept packed too
  mapfile -t layers < /var/cache/images.tar.layers
  ctr -n k8s.io content rm "${layers[@]}"
  rm /var/cache/images.tar*
  touch /var/cache/imported
fi
mv "/proc/$$/fd/6/ready.new" "/proc/$$/fd/6/ready"
exec 5>&- 6<&-
mount -t tmpfs -o nosuid,nodev,noexec,mode=1777 tmpfs /tmp
if [ -n "${DEVNET_TESTBED_SYSTEMD:-}" ]; then
  # as on minikube's own nodes, with no unit but those that somebody starts
  rm -rf /etc/systemd/system; mkdir -p /etc/systemd/system
  for unit in /lib/systemd/system/{sysinit,basic,sockets,timers,paths,local-fs,slices}.target.wants/*; do
    ln -sf /dev/null "/etc/systemd/system/$(basename "$unit")"
  done
  printf '[Unit]\nDefaultDependencies=no\n' > /etc/systemd/system/node.target
  exec env -i container=docker PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --unit=node.target --log-target=console --show-status=false
fi
# the dead are buried by this shell
sleep infinity &
while :; do wait; done
