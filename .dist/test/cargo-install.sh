#!/usr/bin/env bash
# The published crate, installed as a person does who has cargo and a C compiler alone: in a clean root with
# an empty Cargo home and no musl target. The pods of the devnet that comes of it have their proof from the kernel.
# shellcheck source=.dist/test/common.sh
. "$(dirname "$0")/common.sh"

# a system with nothing but its own minimum, certificates, and the C compiler that Rust links with
clean=$root/target/clean-root
if [ ! -d "$clean" ]; then
  suite=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
  debootstrap --variant=minbase --include=gcc,libc6-dev,ca-certificates "$suite" "$clean.new" >/dev/null
  mv "$clean.new" "$clean"
fi

# this toolchain without other targets, and the crate
toolchain=$(rustc --print sysroot); host=$(rustc -vV | sed -n 's/^host: //p')
given=$work/upper/opt
mkdir -p "$given/rust/bin" "$given/rust/lib/rustlib" "$work/upper/etc/ssl/certs" "$work/layer" "$work/root"
cp "$toolchain"/bin/{cargo,rustc} "$given/rust/bin/"; cp -a "$toolchain"/lib/*.so* "$given/rust/lib/"
cp -a "$toolchain/lib/rustlib/$host" "$given/rust/lib/rustlib/"
tar xzf "$dist/devnet-$version.crate" -C "$given"
# how this computer reaches the registry
cp /etc/resolv.conf /etc/hosts "$work/upper/etc/"
cp "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" "$work/upper/etc/ssl/certs/ca-certificates.crt"

# what is written stays in $work; mounts end with the namespace of who runs this
cat > "$work/enter.sh" <<ENTER
mount -t overlay overlay -o "lowerdir=$clean,upperdir=$work/upper,workdir=$work/layer" "$work/root"
mount -t proc proc "$work/root/proc"; mount --rbind /dev "$work/root/dev"
in_root() {
  chroot "$work/root" env -i HOME=/root PATH=/root/.cargo/bin:/opt/rust/bin:/usr/bin:/bin DEVNET_HOST=unix:///run/engine.sock "\$@"
}
ENTER

# CARGO_INSTALL_PROFILE=dev compiles sooner
cat > "$work/install.sh" <<INSTALL
set -euo pipefail
. "$work/enter.sh"
[ ! -e "$work/root/root/.cargo" ] && [ -z "\$(ls "$work/root/opt/rust/lib/rustlib" | grep musl)" ]
in_root cargo install --quiet --locked --profile "${CARGO_INSTALL_PROFILE:-release}" --path "/opt/devnet-$version" --target-dir /tmp/target
rm -rf "$work/root/tmp/target"
INSTALL
unshare --mount --pid --fork --kill-child -- bash "$work/install.sh"
installed=$(ls "$work/upper/root/.cargo/bin")
[ "$installed" = devnet ] || failed "installed: $installed"
ok "cargo install in a clean root brings devnet alone"

cat > "$work/ground.sh" <<GROUND
set -euo pipefail
. "$work/enter.sh"
touch "$work/root/run/engine.sock"; mount --bind "\$DEVNET_TESTBED/host.sock" "$work/root/run/engine.sock"
in_root devnet lab up
in_root devnet pods
in_root devnet inspect web
GROUND
said=$(tests/testbed/run.sh bash "$work/ground.sh") || failed "$said"
[[ $said == *"server"*"8080"*"proven by inode"* ]] || failed "no proof from the kernel: $said"
echo "$said"
ok "its pods have their listeners and their proof"
