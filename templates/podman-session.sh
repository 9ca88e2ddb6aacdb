#!/bin/sh
# Runs podman on a node with a folder of its own for what it spools: `load` reads an archive on this
# program's input, `save ID` writes one to its output. The folder goes when this ends, however it ends,
# and podman ends when whoever asked is gone. A load prints its folder, then a dot for each second in which podman did
# something, and a dash for one in which it waited.
set -eu
umask 077
verb=$1
command -v podman >/dev/null 2>&1 || { echo 'devnet: podman is not there' >&2; exit 127; }

# when this process began: its number alone is given to another some day
began() { cut -d ' ' -f 22 "/proc/$1/stat" 2>/dev/null || :; }

parent=/var/tmp/devnet
mkdir -m 0700 "$parent" 2>/dev/null || :
# anybody else's folder may be made to be followed or replaced
if [ ! -d "$parent" ] || [ -L "$parent" ] || [ ! -O "$parent" ]; then
  echo "devnet: $parent is not root's" >&2
  exit 1
fi
for old in "$parent"/podman-*; do
  holder=${old##*/podman-}
  pid=${holder%%-*}
  # its holder was killed
  if [ -d "$old" ] && [ "${holder#*-}" != "$(began "$pid")" ]; then rm -rf "$old"; fi
done
start=$(began $$)
mine=$parent/podman-$$-$start
mkdir "$mine"
[ "$verb" != load ] || printf '%s\n' "$mine"

# podman's own work so far: the bytes that it read and wrote, and its time
work() { cat "/proc/$1/io" 2>/dev/null; cut -d ' ' -f 14-15 "/proc/$1/stat" 2>/dev/null || :; }

# Outlives this program, whose end it sees to.
watch() {
  trap '' HUP INT PIPE
  before=
  while :; do
    # it must not keep the streams of what it watches open
    sleep 1 >/dev/null 2>&1
    [ "$(began $$)" = "$start" ] || break
    [ "$verb" = load ] || continue
    pid=$(cat "$mine/pid" 2>/dev/null || :)
    now=$([ -z "$pid" ] || work "$pid")
    mark=-
    [ "$now" = "$before" ] || mark=.
    before=$now
    # nobody reads any more
    printf '%s' "$mark" 2>/dev/null || break
  done
  exec >/dev/null 2>&1
  pid=$(cat "$mine/pid" 2>/dev/null || :)
  [ -z "$pid" ] || kill -KILL "$pid" || :
  rm -rf "$mine"
  rmdir "$parent" || :
}
watch </dev/null &
watcher=$!

# podmans look into an archive in /var/tmp whatever they are told: there this folder takes its place
private=
if unshare -m true 2>/dev/null; then private='unshare -m'; fi
# the number of the shell becomes podman's
# shellcheck disable=SC2016  # that shell expands it
run='echo $$ >"$1/pid"
TMPDIR=$1
if [ -n "$0" ]; then mount --bind "$1" /var/tmp && TMPDIR=/var/tmp; fi
export TMPDIR
shift
exec podman "$@"'
code=0
# shellcheck disable=SC2086  # two words, or none
case $verb in
  load) $private sh -c "$run" "$private" "$mine" load --quiet >/dev/null || code=$? ;;
  save) $private sh -c "$run" "$private" "$mine" save --quiet --format oci-archive --uncompressed "$2" || code=$? ;;
esac
kill "$watcher" 2>/dev/null || :
rm -rf "$mine"
rmdir "$parent" 2>/dev/null || :
exit "$code"
