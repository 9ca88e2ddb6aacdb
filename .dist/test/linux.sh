#!/usr/bin/env bash
# The Linux programs where there is nothing else: x86_64 in an empty root, aarch64 under qemu; the probes
# that they carry against this kernel's /proc; devnet with the test ground's engines.
# shellcheck source=.dist/test/common.sh
. "$(dirname "$0")/common.sh"
commit=$(cat "$root/target/package/devnet-$version/src/probe/packaged/COMMIT")

x86_64=$(unpack x86_64-unknown-linux-musl)
mkdir "$work/empty"; cp "$x86_64/devnet" "$work/empty/"
says "$commit" chroot "$work/empty" /devnet --version -o json
says '"target":"x86_64-unknown-linux-musl"' chroot "$work/empty" /devnet --version -o json
says "Usage: devnet env" chroot "$work/empty" /devnet env --help
ends 3 "is the engine running" chroot "$work/empty" /devnet status
ok "x86_64 in an empty root"
[ -x "$x86_64/kubectl-devnet" ] || failed "no kubectl-devnet"
# krew unpacks folders and files alone
for archive in "$dist"/*.tar.gz; do
  if tar tvzf "$archive" | grep -v '^[-d]'; then failed "$archive has what is neither a file nor a folder"; fi
done
for page in "$x86_64"/man/man1/*.1; do grep -q '^\.TH devnet' "$page" || failed "$page is no page"; done
ok "$(find "$x86_64/man" -name '*.1' | wc -l) manual pages, $(find "$x86_64/completions" -type f | wc -l) completions"

if [ -f "$dist/devnet-$version-aarch64-unknown-linux-musl.tar.gz" ]; then
  aarch64=$(unpack aarch64-unknown-linux-musl)
  says '"target":"aarch64-unknown-linux-musl"' qemu-aarch64-static "$aarch64/devnet" --version -o json
  says "Usage: devnet env" qemu-aarch64-static "$aarch64/devnet" env --help
  ends 3 "is the engine running" env -i HOME="$work" qemu-aarch64-static "$aarch64/devnet" status
  ok "aarch64 under qemu"
fi

# both processors' probes see what this kernel has: themselves and a listener of this test
python3 -c 'import socket, time
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(); print(s.getsockname()[1], flush=True); time.sleep(60)' > "$work/port" & listener=$!
trap 'kill $listener; rm -rf --one-file-system "$work"' EXIT
until [ -s "$work/port" ]; do kill -0 $listener; read -rt 0.1 <> <(:) || :; done
packaged=$root/target/package/devnet-$version/src/probe/packaged
inode=$(awk -v port="$(printf ':%04X' "$(cat "$work/port")")" '$2 ~ port"$" && $4 == "0A" {print $10}' /proc/net/tcp)
for machine in x86_64 aarch64; do
  gunzip -c "$packaged/devnet-probe-$machine.gz" > "$work/devnet-probe-$machine"; chmod +x "$work/devnet-probe-$machine"
  emulator=; if [ "$machine" = aarch64 ]; then emulator=qemu-aarch64-static; fi
  $emulator "$work/devnet-probe-$machine" snap > "$work/snap-$machine" || failed "the probe for $machine ended with $?"
  grep -q "$inode" "$work/snap-$machine" || failed "the probe for $machine does not see socket $inode"
  ok "the probe for $machine sees $(wc -l < "$work/snap-$machine") lines of this kernel, this test's listener among them"
done

# devnet as it is released, with engines
cat > "$work/ground.sh" <<GROUND
set -euo pipefail
export MINIKUBE_HOME=\$DEVNET_TESTBED/minikube/.minikube HOME=$work PATH=$x86_64:\$PATH
export DEVNET_HOST=unix://\$DEVNET_TESTBED/host.sock
devnet lab up
devnet pods | tee /dev/stderr | grep -q "server.*8080"
devnet inspect web | grep "proven by inode"
devnet lab down >/dev/null
unset DEVNET_HOST
devnet status
kubectl-devnet pods
GROUND
says "proven by inode" tests/testbed/run.sh bash "$work/ground.sh"
ok "lab up, pods with listeners and proof, and status with the test ground's engines"
