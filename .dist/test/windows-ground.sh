#!/usr/bin/env bash
# Inside the test ground: the Windows program in $1/C against its node.
set -euo pipefail
work=$1 scripts=$(cd "$(dirname "$0")" && pwd)
cd "$work/C"
failed() { echo "FAILED: $*" >&2; exit 1; }
ok() { echo "ok: $*"; }
# Wine's own complaints are none of devnet's
devnet() { wine devnet.exe "$@" 2> >(tr -d '\r' | grep -v '^wine: ' >&2) | tr -d '\r'; return "${PIPESTATUS[0]}"; }
windows() { echo "Z:${1//\//\\}"; }
has() { [[ $2 == *"$1"* ]] || failed "$3: no '$1' in: $2"; }
docker() { command docker -H "unix://$DEVNET_TESTBED/node.sock" "$@"; }
unset DOCKER_HOST
minikube=$DEVNET_TESTBED/minikube

# minikube's home: its parent, or itself; a home with blanks and other letters
for home in "$minikube" "$minikube/.minikube"; do
  MINIKUBE_HOME=$(windows "$home"); export MINIKUBE_HOME
  has '"DOCKER_HOST":"tcp://127.0.0.2:2376"' "$(devnet env -o json | tr -d ' \n')" "env -o json"
done
strange="$work/C/Ein Haus für 日本"; cp -r "$minikube" "$strange"
MINIKUBE_HOME=$(windows "$strange")
has 'Ein Haus für 日本' "$(devnet env --shell powershell)" "env in a strange home"
ok "env, with MINIKUBE_HOME both ways and in a home with blanks and other letters"

# env in cmd's form, taken by cmd.exe. Wine's takes what FOR gives it for one word without `call`
printf '@echo off\r\nFOR /f "tokens=*" %%%%i IN ('"'devnet.exe env --shell cmd'"') DO call %%%%i\r\necho host=%%DOCKER_HOST%% path=%%DOCKER_CERT_PATH%%\r\n' > take.bat
said=$(wine cmd /c take.bat 2>/dev/null | tr -d '\r')
has "host=tcp://127.0.0.2:2376 path=" "$said" "cmd"
has 'Ein Haus' "$said" "cmd"
ok "env is taken by cmd.exe: $said"
export MINIKUBE_HOME; MINIKUBE_HOME=$(windows "$minikube")

has '"answers":true' "$(devnet status -o json | tr -d ' \n')" "status"
has '127.0.0.2' "$(devnet status)" "status"
ok "status over TCP with TLS"

# a build whose Dockerfile and .dockerignore end their lines as Windows does
mkdir -p "context/sub folder"
cp "${DEVNET_PROBE:-/bin/busybox}" context/app
printf 'FROM scratch\r\nCOPY . /\r\nENTRYPOINT ["/app", "sleep", "1000"]\r\n' > context/Dockerfile
printf 'left out\r\n*.log\r\n' > context/.dockerignore
echo kept > "context/sub folder/kept"; echo out > "context/left out"; echo out > context/a.log; chmod 600 "context/sub folder/kept"
echo kept > context/read-only; chmod 444 context/read-only
# to a Windows program of Wine's it is the file that it leads to: Windows' own links can't be made here
ln -s kept "context/sub folder/link"
# Wine's place for what other computers share
mkdir -p "$WINEPREFIX/dosdevices/unc/server"; ln -s "$work/C" "$WINEPREFIX/dosdevices/unc/server/share"
here=$(windows "$work/C")
for where in context '.\context' "$here\\context" "\\\\?\\$here\\context" '\\server\share\context'; do
  devnet -q build -t wine:one "$where" >/dev/null || failed "build $where"
done
docker create --name wine-files wine:one >/dev/null
files=$(docker export wine-files | tar tv); docker rm wine-files >/dev/null
has 'sub folder/kept' "$files" "build"
[[ $files != *left* && $files != *a.log* ]] || failed "what .dockerignore names was sent: $files"
grep -q -- '-rwxr-xr-x.*sub folder/kept' <<< "$files" || failed "modes: $files"
grep -q -- '-r-xr-xr-x.*read-only' <<< "$files" || failed "modes: $files"
grep -q -- '-rwxr-xr-x.* 5 .*sub folder/link$' <<< "$files" || failed "a link: $files"
ok "build from paths with drive letters, back-slashes, \\\\?\\ and UNC; CRLF; everything may be run, as docker sends it from Windows"

docker save wine:one > app.tar; docker rmi wine:one >/dev/null
devnet load 'app.tar' || failed "load"
docker image inspect wine:one >/dev/null || failed "nothing was loaded"
ok "load of an archive"

devnet -H tcp://127.0.0.2:2376 --tls-cert-path "$(windows "$minikube/.minikube/certs")" lab up >/dev/null || failed "lab up"
has 8080 "$(devnet pods)" "pods"; devnet pods
has 'proven by inode' "$(devnet inspect web)" "inspect"
has '8080' "$(devnet ports web)" "ports"
devnet logs web >/dev/null || failed logs
devnet check web >/dev/null || failed check
code=0; devnet exec web -c server -- /devnet-probe nonsense >/dev/null 2>&1 || code=$?
[ "$code" = 2 ] || [ "$code" = 125 ] || failed "exec ended with $code"
ok "pods with listeners, inspect with its proof, ports, logs, check, exec with its command's code"

# in a console: colours, its width, Ctrl-C
console() { python3 "$scripts/console.py" "$@" 2>/dev/null; }
has $'\e[32m' "$(console 100 - wine devnet.exe pods)" "colours"
plain() { sed 's/\x1b\[[?0-9;]*[A-Za-z]//g' | tr -d '\r'; }
words() { tr -s ' ' '\n' <<< "$1" | sort -u; }
wide=$(console 200 - wine devnet.exe env --help | plain) narrow=$(console 70 - wine devnet.exe env --help | plain)
[ "$(wc -l <<< "$narrow")" -gt "$(wc -l <<< "$wide")" ] || failed "not laid out for its console: $narrow"
# what the console itself breaks is broken amid words
[ "$(words "$wide")" = "$(words "$narrow")" ] || failed "wider than its console: $narrow"
code=0; said=$(console 100 web wine devnet.exe pods --watch) || code=$?
[ "$code" = 130 ] || failed "Ctrl-C: $code $said"
has inte "$said" "Ctrl-C"
has $'\e[?1049l' "$said" "the screen that a watch leaves"
ok "a console: colours, its width, and Ctrl-C ends a watch with 130"
devnet -H tcp://127.0.0.2:2376 --tls-cert-path "$(windows "$minikube/.minikube/certs")" lab down >/dev/null || failed "lab down"

code=0; said=$(devnet -H npipe:////./pipe/nobody status 2>&1) || code=$?
[ "$code" = 3 ] || failed "a pipe that nobody serves: $code $said"
has pipe "$said" "npipe"
ok "a named pipe that nobody serves: exit 3"

# a pipe that is served, by the engine without TLS
socat TCP-LISTEN:2375,bind=127.0.0.1,fork,reuseaddr "UNIX-CONNECT:$DEVNET_TESTBED/node.sock" & socat=$!
wine pipe_relay.exe '\\.\pipe\devnet_engine' 127.0.0.1 2375 > pipe.said 2>/dev/null & relay=$!
until grep -q ready pipe.said; do kill -0 "$relay" || failed "no pipe: $(cat pipe.said)"; read -rt 0.1 <> <(:) || :; done
has '"answers":true' "$(devnet -H npipe:////./pipe/devnet_engine status -o json | tr -d ' \n')" "status by a pipe"
devnet -H npipe:////./pipe/devnet_engine -q build -t wine:pipe context >/dev/null || failed "build by a pipe"
docker image inspect wine:pipe >/dev/null || failed "nothing was built by a pipe"
kill "$socat" "$relay"
ok "a named pipe: status and a build"
