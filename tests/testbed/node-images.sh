#!/usr/bin/env bash
# Makes an archive of the images that a node has from its start, for `ctr images import`: node-images.sh FILE
# FILE.layers names what its layers are called in containerd.
#   registry.k8s.io/pause:3.10        holds a pod's namespaces
#   docker.io/library/busybox:1.35    a static busybox under all its names
#   docker.io/library/distroless:v1   one program and no shell
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
file=$1
probe=$root/target/probes/devnet-probe-$(uname -m)
[ -e "$probe" ] || { echo "testbed: $probe is missing: make probes" >&2; exit 1; }
busybox=$(command -v busybox)
machine=$(uname -m); machine=${machine/x86_64/amd64}; machine=${machine/aarch64/arm64}

work=$(mktemp -d -p "$(dirname "$file")"); trap 'rm -rf "$work"' EXIT
mkdir "$work/out"
: > "$file.layers"
image() { # NAME CONFIG, of the folder $work/image
  tar --numeric-owner --owner=0 --group=0 --mtime=@0 --sort=name -C "$work/image" -cf "$work/layer.tar" .
  local layer config; layer=$(sha256sum "$work/layer.tar" | cut -c1-64)
  mv "$work/layer.tar" "$work/out/$layer.tar"
  printf '{"architecture":"%s","os":"linux","created":"2026-01-01T00:00:00Z","config":%s,"rootfs":{"type":"layers","diff_ids":["sha256:%s"]},"history":[{"created":"2026-01-01T00:00:00Z","created_by":"made for tests"}]}' \
    "$machine" "$2" "$layer" > "$work/config.json"
  config=$(sha256sum "$work/config.json" | cut -c1-64)
  mv "$work/config.json" "$work/out/$config.json"
  echo "sha256:$layer" >> "$file.layers"
  manifests="${manifests:+$manifests,}{\"Config\":\"$config.json\",\"RepoTags\":[\"$1\"],\"Layers\":[\"$layer.tar\"]}"
  rm -rf "$work/image"
}
manifests=

mkdir "$work/image"; cp "$probe" "$work/image/pause"
image registry.k8s.io/pause:3.10 '{"User":"65535:65535","Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"Entrypoint":["/pause","pause"],"WorkingDir":"/"}'

mkdir -p "$work"/image/{bin,etc,home,tmp,root,www}; chmod 1777 "$work/image/tmp"
cp "$busybox" "$work/image/bin/busybox"
"$busybox" --list | while read -r applet; do [ "$applet" = busybox ] || ln -s busybox "$work/image/bin/$applet"; done
printf 'root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home:/bin/sh\n' > "$work/image/etc/passwd"
printf 'root:x:0:\napp:x:1000:\n' > "$work/image/etc/group"
image docker.io/library/busybox:1.35 '{"Env":["PATH=/bin:/usr/bin"],"Cmd":["sh"]}'

mkdir "$work/image"; cp "$probe" "$work/image/server"
image docker.io/library/distroless:v1 '{"Env":["PATH=/"],"Entrypoint":["/server"],"Cmd":["serve","8080"]}'

echo "[$manifests]" > "$work/out/manifest.json"
tar -C "$work/out" -cf "$file" .
