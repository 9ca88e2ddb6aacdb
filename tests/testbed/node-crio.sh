#!/usr/bin/env bash
# Runs a real cri-o on a node of node.sh, in its namespaces: node-crio.sh VERB PROGRAM INFRA EVENTS
#   begin   gives it the node's images and starts it
#   start   starts it: its pods are those that it had
#   kill    ends it at once; its socket stays
# PROGRAM's folder has `pinns` too, and what else it wants (another conmon, crun). INFRA (true or false): every sandbox has a process. EVENTS: it tells of changes.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
verb=$1 program=$2 infra=$3 events=$4
folder=$(dirname "$program")
export HOME=/root TMPDIR=/var/tmp PATH=$folder:$PATH

settings() {
  local drop=true driver=overlay runtime
  # the one that cri-o comes with
  runtime=$(command -v crun || command -v runc)
  [ "$infra" = false ] || drop=false
  grep -q '"overlayfs"' /etc/containerd/config.toml || driver=vfs
  mkdir -p /etc/containers /etc/crio /run/crio /var/lib/crio
  printf '[storage]\ndriver = "%s"\ngraphroot = "/var/lib/containers/storage"\nrunroot = "/run/containers/storage"\n' "$driver" > /etc/containers/storage.conf
  printf '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\nruntime = "runc"\nlock_type = "file"\n' > /etc/containers/containers.conf
  echo '{"default": [{"type": "insecureAcceptAnything"}]}' > /etc/containers/policy.json
  echo 'unqualified-search-registries = ["docker.io"]' > /etc/containers/registries.conf
  cat > /etc/crio/crio.conf <<FILE
[crio]
  root = "/var/lib/containers/storage"
  runroot = "/run/containers/storage"
  storage_driver = "$driver"
[crio.api]
  listen = "/var/run/crio/crio.sock"
[crio.runtime]
  conmon_cgroup = "pod"
  cgroup_manager = "cgroupfs"
  apparmor_profile = "unconfined"
  drop_infra_ctr = $drop
  enable_pod_events = $events
  default_runtime = "oci"
  namespaces_dir = "/var/run"
  [crio.runtime.runtimes.oci]
    runtime_path = "$runtime"
    runtime_root = "/run/crun"
    monitor_cgroup = "pod"
[crio.image]
  pause_image = "registry.k8s.io/pause:3.10"
  pause_command = ""
[crio.network]
  network_dir = "/etc/cni/net.d"
  plugin_dirs = ["/usr/lib/cni"]
FILE
}

start() {
  local group tries=0
  # as a service: in the group of the node's own processes, and nobody's child
  awk '$3 ~ /^cgroup2?$/ { print $2 }' /proc/mounts > /run/cgroups
  while read -r group; do echo $$ > "$group/init/cgroup.procs"; done < /run/cgroups
  setsid "$program" --config /etc/crio/crio.conf --config-dir /etc/crio/crio.conf.d >> /var/log/crio.log 2>&1 < /dev/null &
  echo $! > /run/crio.pid
  until curl -s --max-time 2 --unix-socket /run/crio/crio.sock http://crio/info > /dev/null; do
    tries=$((tries + 1)); [ $tries -lt 600 ]
    kill -0 "$(cat /run/crio.pid)"
    sleep 0.05
  done
}

case $verb in
  begin)
    settings
    "$here/node-images.sh" /var/cache/images.tar
    podman load --quiet --input /var/cache/images.tar
    rm /var/cache/images.tar*
    start ;;
  start) settings; start ;;
  kill)
    pid=$(cat /run/crio.pid)
    kill -KILL "$pid"
    while [ -e "/proc/$pid" ]; do sleep 0.02; done ;;
esac
