#!/usr/bin/env bash
# Process 1 of a node (see node.sh), in its new namespaces: node-init.sh FOLDER NAME
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
d=$1 name=$2
number=$(cat "$d/number")
cd /
mount --make-rprivate /
hostname "$name"
touch "$d/namespaces"

# an /etc of its own: users, sudo, sshd, CNI and containerd as minikube's nodes have them
cp -a /etc "$d/etc"
rm -rf "$d"/etc/ssh/ssh_host_* "$d"/etc/sudoers.d "$d"/etc/containerd "$d"/etc/cni
mkdir -p "$d"/etc/{ssh,sudoers.d,containerd,cni/net.d,pam.d}
cp "$d"/keys/host_* "$d/etc/ssh/"
cat > "$d/etc/passwd" <<'FILE'
root:x:0:0:root:/root:/bin/bash
sshd:x:101:65534::/run/sshd:/usr/sbin/nologin
docker:x:1000:999:,,,:/var/home/docker:/bin/bash
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
FILE
printf 'root:*:20000::::::\nsshd:*:20000::::::\ndocker:*:20000::::::\nnobody:*:20000::::::\n' > "$d/etc/shadow"
printf 'root:x:0:\ntty:x:5:\nsudo:x:27:docker\ndocker:x:999:docker\nnogroup:x:65534:\n' > "$d/etc/group"
printf 'passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n' > "$d/etc/nsswitch.conf"
printf '127.0.0.1 localhost\n192.168.%s.2 %s\n' "$((48 + number))" "$name" > "$d/etc/hosts"
rm -f "$d/etc/resolv.conf"; printf 'nameserver 192.168.%s.1\n' "$((48 + number))" > "$d/etc/resolv.conf"
echo "$name" > "$d/etc/hostname"
cat > "$d/etc/sudoers" <<'FILE'
Defaults env_reset, !use_pty
Defaults secure_path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
root ALL=(ALL:ALL) ALL
docker ALL=(ALL) NOPASSWD:ALL
FILE
chmod 0440 "$d/etc/sudoers"
# no limits are raised by sudo: root has not the right to here
printf '%s required pam_permit.so\n' auth account session > "$d/etc/pam.d/sudo"
cat > "$d/etc/ssh/sshd_config" <<'FILE'
HostKey /etc/ssh/host_ed25519
HostKey /etc/ssh/host_rsa
PasswordAuthentication no
UsePAM no
UseDNS no
PrintMotd no
AcceptEnv LANG LC_*
MaxStartups 200
Subsystem sftp /usr/lib/openssh/sftp-server
FILE

# a /var of its own
mkdir -p "$d"/var/{cache,log/pods,log/containers,spool,mail,tmp,home/docker/.ssh,home/person/.minikube} \
  "$d"/var/lib/{containerd,kubelet/pods,cni,sudo/lectured,misc}
ln -s /run "$d/var/run"; ln -s /run/lock "$d/var/lock"
chmod 1777 "$d/var/tmp"
cp "$d/keys/id_rsa.pub" "$d/var/home/docker/.ssh/authorized_keys"
chown -R 1000:999 "$d/var/home/docker"; chmod 700 "$d/var/home/docker/.ssh"

# the version's own programs where the system's are
for program in containerd containerd-shim-runc-v2 ctr; do
  if [ "${DEVNET_GROUND_CONTAINERD:-/}" != / ]; then
    mount --bind "$DEVNET_GROUND_CONTAINERD/usr/bin/$program" "/usr/bin/$program"
  fi
done

# where an overlay can't be mounted, layers are copied
snapshotter=overlayfs
mkdir -p "$d"/try/{lower,upper,work,merged}
if mount -t overlay overlay -o "lowerdir=$d/try/lower,upperdir=$d/try/upper,workdir=$d/try/work" "$d/try/merged" 2>/dev/null; then
  umount "$d/try/merged"
else
  snapshotter=native
fi
cat > "$d/etc/containerd/config.toml" <<FILE
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
oom_score = 0
[grpc]
  address = "/run/containerd/containerd.sock"
  uid = 0
  gid = 0
[plugins]
  [plugins."io.containerd.grpc.v1.cri"]
    sandbox_image = "registry.k8s.io/pause:3.10"
    restrict_oom_score_adj = true
    disable_apparmor = true
    enable_unprivileged_ports = true
    enable_unprivileged_icmp = true
    [plugins."io.containerd.grpc.v1.cri".containerd]
      snapshotter = "$snapshotter"
      default_runtime_name = "runc"
      discard_unpacked_layers = true
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
        runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".cni]
      bin_dir = "/usr/lib/cni"
      conf_dir = "/etc/cni/net.d"
FILE
cat > "$d/etc/cni/net.d/1-k8s.conflist" <<FILE
{ "cniVersion": "0.3.1", "name": "bridge",
  "plugins": [
    { "type": "bridge", "bridge": "cni0", "isDefaultGateway": true, "forceAddress": false, "ipMasq": false, "hairpinMode": true,
      "ipam": { "type": "host-local", "subnet": "10.244.$number.0/24" } },
    { "type": "portmap", "capabilities": { "portMappings": true } } ] }
FILE
cat > "$d/etc/containerd/start" <<'FILE'
#!/bin/sh
# as a service: in the group of the node's own processes, and nobody's child
for group in $(awk '$3 ~ /^cgroup2?$/ { print $2 }' /proc/mounts); do echo $$ > "$group/init/cgroup.procs"; done
setsid containerd >> /var/log/containerd.log 2>&1 < /dev/null &
echo $! > /run/containerd.pid
n=0
until ctr version > /dev/null 2>&1; do
  n=$((n + 1)); [ $n -lt 600 ] || exit 1
  kill -0 "$(cat /run/containerd.pid)" || exit 1
  sleep 0.05
done
FILE
cat > "$d/etc/containerd/stop" <<'FILE'
#!/bin/sh
pid=$(cat /run/containerd.pid)
kill -"$1" "$pid"
while [ -e "/proc/$pid" ]; do sleep 0.02; done
FILE
chmod +x "$d"/etc/containerd/{start,stop}

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

# from here on the ground's own folder is out of sight: its parts are in their places
exec 5> "$d/ready.new" 6< "$d"
mount -t tmpfs -o nosuid,nodev,noexec,mode=755 tmpfs /run
mkdir -p /run/{sshd,lock,netns}
/usr/sbin/sshd -E /var/log/sshd.log
"$here/node-images.sh" /var/cache/images.tar &
images=$!
/etc/containerd/start
wait "$images"
ctr -n k8s.io images import /var/cache/images.tar
# what was unpacked is not kept packed too
while read -r layer; do ctr -n k8s.io content rm "$layer"; done < /var/cache/images.tar.layers
rm /var/cache/images.tar*
mv "/proc/$$/fd/6/ready.new" "/proc/$$/fd/6/ready"
exec 5>&- 6<&-
mount -t tmpfs -o nosuid,nodev,noexec,mode=1777 tmpfs /tmp
# the dead are buried by this shell
sleep infinity &
while :; do wait; done
