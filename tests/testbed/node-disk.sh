#!/usr/bin/env bash
# Writes the /etc and the /var of a new node (see node.sh): node-disk.sh FOLDER NAME
set -euo pipefail
d=$1 name=$2
number=$(cat "$d/number")

# an /etc of its own: users, sudo, sshd, CNI and containerd as minikube's nodes have them
cp -a /etc "$d/etc"
rm -rf "$d"/etc/ssh/ssh_host_* "$d"/etc/sudoers.d "$d"/etc/containerd "$d"/etc/cni "$d"/etc/docker
mkdir -p "$d"/etc/{ssh,sudoers.d,containerd,cni/net.d,pam.d,docker}
cp "$d"/keys/host_* "$d/etc/ssh/"; cp "$d"/tls/* "$d/etc/docker/"
cat > "$d/etc/passwd" <<'FILE'
root:x:0:0:root:/root:/bin/bash
sshd:x:101:65534::/run/sshd:/usr/sbin/nologin
docker:x:1000:999:,,,:/var/home/docker:/bin/bash
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
FILE
printf 'root:*:20000::::::\nsshd:*:20000::::::\ndocker:*:20000::::::\nnobody:*:20000::::::\n' > "$d/etc/shadow"
printf 'root:x:0:\ntty:x:5:\nsudo:x:27:docker\nbuildkit:x:998:docker\ndocker:x:999:docker\nnogroup:x:65534:\n' > "$d/etc/group"
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

# where an overlay can't be mounted, layers are copied
snapshotter=overlayfs
mkdir -p "$d"/try/{lower,upper,work,merged}
if mount -t overlay overlay -o "lowerdir=$d/try/lower,upperdir=$d/try/upper,workdir=$d/try/work" "$d/try/merged" 2>/dev/null; then
  umount "$d/try/merged"
else
  snapshotter=native
fi
rm -r "$d/try"
snapshotter=${DEVNET_TESTBED_SNAPSHOTTER:-$snapshotter}
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
