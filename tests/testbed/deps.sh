#!/usr/bin/env bash
# Installs what `make demo|test|bench|lint|dist|test-dist` need and this machine lacks: deps.sh PURPOSE
# On Debian and Ubuntu as root it installs; elsewhere it says what to install.
set -euo pipefail
purpose=$1

# program:package pairs; a package without a program is asked of dpkg
needs="dockerd:docker.io openssl:openssl curl:curl ip:iproute2 setpriv:util-linux unshare:util-linux"
# a node that runs containerd
node="busybox:busybox-static sshd:openssh-server ssh:openssh-client containerd:containerd runc:runc
  /usr/lib/cni/bridge:containernetworking-plugins /lib/systemd/systemd:systemd sudo:sudo socat:socat python3:python3"
# without root there are no private engines, so nothing is needed for them
if [ "$purpose" = demo ] && { [ "$(uname)" != Linux ] || [ "$(id -u)" != 0 ]; }; then exit 0; fi
case $purpose in
  demo) needs="$needs $node" ;;
  test) needs="$needs docker:docker-cli zsh:zsh fish:fish tcsh:tcsh bsd-csh:csh dash:dash ksh:ksh elvish:elvish
    xonsh:xonsh ss:iproute2 nsenter:util-linux strace:strace nft:nftables dot:graphviz man:man-db groff:groff script:bsdutils
    podman:podman cc:gcc pip3:python3-pip iptables:iptables docker-compose:docker-compose $node" ;;
  bench) needs="$needs docker:docker-cli hyperfine:hyperfine podman:podman cc:gcc $node" ;;
  lint) needs="shellcheck:shellcheck" ;;
  dist) needs="x86_64-w64-mingw32-gcc:gcc-mingw-w64-x86-64 python3:python3 pip3:python3-pip zip:zip" ;;
  # x86_64-w64-mingw32-gcc: for a library that Debian's Wine lacks
  test-dist) needs="$needs $node qemu-aarch64-static:qemu-user-static debootstrap:debootstrap rpm:rpm wine:wine
    wine64:wine64 x86_64-w64-mingw32-gcc:gcc-mingw-w64-x86-64 unzip:unzip python3:python3" ;;
  *) echo "deps: unknown purpose '$purpose'" >&2; exit 2 ;;
esac

# tools made for packages, and zig, which links for Linux and macOS: in no distribution, so below target
dist_tools() {
  local tools tool
  tools=$(cd "$(dirname "$0")/../.." && pwd)/target/dist-tools
  for tool in cargo-zigbuild@0.24.1 cargo-deb@3.8.0 cargo-generate-rpm@0.21.1; do
    grep -qsF "\"${tool/@/ } " "$tools/.crates.toml" || cargo install --quiet --locked --root "$tools" "$tool"
  done
  [ -x "$tools/bin/zig" ] || pip3 install --quiet --target "$tools/python" ziglang==0.17.1
  ln -sf ../python/ziglang/zig "$tools/bin/zig"
}

PATH=$PATH:/usr/sbin:/sbin
missing=
for need in $needs; do
  command -v "${need%%:*}" >/dev/null || missing="$missing ${need##*:}"
done
# a dynamically linked busybox runs in no empty image
if [ "$purpose" != lint ] && [ "$purpose" != dist ]; then
  if command -v ldd >/dev/null && ldd "$(command -v busybox)" >/dev/null 2>&1; then missing="$missing busybox-static"; fi
fi
# no distribution has cargo-deny; building it takes minutes, so a person is asked and CI just does it
if [ "$purpose" = lint ] && [ -n "${CI:-}" ] && ! cargo deny --version >/dev/null 2>&1; then
  cargo install --quiet --locked cargo-deny
fi
# no distribution has nu; where npm is, it brings the official program
if [ "$purpose" = test ] && [ "$(id -u)" = 0 ] && ! command -v nu >/dev/null && command -v npm >/dev/null; then
  folder=$(mktemp -d)
  machine=$(uname -m)
  machine=${machine/x86_64/x64}
  machine=${machine/aarch64/arm64}
  if (cd "$folder" && npm pack --silent "@nushell/linux-$machine@0.115.1" && tar xf ./*.tgz) >/dev/null; then
    install -m 755 "$folder/package/bin/nu" /usr/local/bin/nu
  fi
  rm -r "$folder"
fi
if [ -z "$missing" ]; then
  :
elif command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
  echo "installing:$missing" >&2
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq update >/dev/null
  # older suites have the docker command in docker.io itself
  if ! apt-cache show docker-cli >/dev/null 2>&1; then missing=${missing//docker-cli/docker.io}; fi
  # shellcheck disable=SC2086
  apt-get -qq install -y --no-install-recommends $missing >/dev/null
else
  echo "please install:$missing (names of Debian packages), or run this as root on Debian or Ubuntu" >&2
  exit 1
fi
if [ "$purpose" = dist ]; then dist_tools; fi
# what a registry of programs gives and no distribution is missed by the one test that wants it
if [ "$purpose" = test ] && ! "$(dirname "$0")/clients.sh" >/dev/null; then
  echo "deps: clients that no distribution has were not fetched" >&2
fi
