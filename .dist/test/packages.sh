#!/usr/bin/env bash
# The .deb and the .rpm: installed into bare roots, run there, removed; nothing stays.
# shellcheck source=.dist/test/common.sh
. "$(dirname "$0")/common.sh"
machine=x86_64

check() { # ROOT: what a package has brought
  says "devnet $version" chroot "$1" /usr/bin/devnet --version
  for file in bin/kubectl-devnet share/bash-completion/completions/devnet share/fish/vendor_completions.d/devnet.fish share/man/man1/devnet.1 \
    share/man/man1/devnet-lab-up.1; do
    [ -e "$1/usr/$file" ] || [ -e "$1/usr/$file.gz" ] || failed "no /usr/$file"
  done
}
gone() { [ ! -e "$1/usr" ] || [ -z "$(find "$1/usr" -name "*devnet*" ! -type d)" ] || failed "left: $(find "$1/usr" -name "*devnet*")"; }

deb=$work/deb; mkdir -p "$deb"/var/lib/dpkg/{info,updates,triggers}; : > "$deb/var/lib/dpkg/status"
dpkg --root="$deb" --install "$dist"/devnet_*_amd64.deb >/dev/null
check "$deb"
dpkg --root="$deb" --purge devnet >/dev/null
gone "$deb"
ok "$(basename "$dist"/devnet_*_amd64.deb) in a bare root, and removed"

rpm=$work/rpm; mkdir -p "$rpm"
rpm --root "$rpm" --initdb 2>/dev/null
# the root is bare: not even a shell is there
rpm --root "$rpm" --install --nodeps "$dist"/devnet-*."$machine".rpm
check "$rpm"
rpm --root "$rpm" --erase devnet
gone "$rpm"
ok "$(basename "$dist"/devnet-*."$machine".rpm) in a bare root, and removed"

for package in "$dist"/devnet_*_arm64.deb; do
  [ -f "$package" ] || continue
  [ "$(dpkg-deb -f "$package" Architecture)" = arm64 ] || failed "$package says it is for another machine"
  dpkg-deb --extract "$package" "$work/arm64"
  says "devnet $version" qemu-aarch64-static "$work/arm64/usr/bin/devnet" --version
  ok "$(basename "$package")"
done
