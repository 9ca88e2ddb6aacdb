#!/usr/bin/env bash
# The Windows program under Wine, with the test ground's engines over TCP with TLS.
# shellcheck source=.dist/test/common.sh
. "$(dirname "$0")/common.sh"
folder=$(unpack x86_64-pc-windows-gnu)
mkdir "$work/C"
cp "$folder/devnet.exe" "$work/C/"
x86_64-w64-mingw32-gcc -shared -o "$work/C/bcryptprimitives.dll" .dist/test/bcryptprimitives.c -ladvapi32
x86_64-w64-mingw32-gcc -o "$work/C/pipe_relay.exe" .dist/test/pipe_relay.c -lws2_32
# Wine of its own, without windows; its folders are this computer's, below Z:
export WINEPREFIX=$work/wine WINEDEBUG=-all DISPLAY=
wine "$work/C/devnet.exe" --version -o json > "$work/version" 2>"$work/said" || failed "Wine: $(cat "$work/said")"
grep -q '"target":"x86_64-pc-windows-gnu"' "$work/version" || failed "$(cat "$work/version")"
grep -q '"amd64":.*"arm64":' "$work/version" || failed "it carries not both probes: $(cat "$work/version")"
ok "starts, with both probes inside"
# Wine's server opens the sockets, and has to be of the test ground's network: the next one is
wineserver -w
tests/testbed/run.sh .dist/test/windows-ground.sh "$work"
wineserver -k 2>/dev/null || true
