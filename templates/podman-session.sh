#!/bin/sh
# Runs podman on a node with a folder of its own for what it spools: `load` reads an archive on this
# program's input, `save ID` writes one to its output, `tag ID NAME` gives a name. The folder goes when
# this ends, however it ends, and podman ends when whoever asked is gone. A load prints its folder, then
# a dot for each second in which podman did something, and a dash for one in which it waited; the others
# tell the same among their words by \001 and \002.
set -eu
umask 077
verb=$1
command -v podman >/dev/null 2>&1 || { echo 'devnet: podman is not there' >&2; exit 127; }

# when this process began: its number alone is given to another some day
began() { cut -d ' ' -f 22 "/proc/$1/stat" 2>/dev/null || :; }

parent=/var/tmp/devnet
start=$(began $$)
mine=$parent/podman-$$-$start
tries=0
while :; do
  mkdir -m 0700 "$parent" 2>/dev/null || :
  # anybody else's folder may be made to be followed or replaced
  if [ -L "$parent" ] || { [ ! -O "$parent" ] && [ -e "$parent" ]; }; then
    echo "devnet: $parent is not root's" >&2
    exit 1
  fi
  # another session that ends takes the folder of all away, if nothing lies in it
  ! mkdir "$mine" 2>/dev/null || break
  tries=$((tries + 1))
  [ "$tries" -lt 20 ] || { echo "devnet: no folder can be made in $parent" >&2; exit 1; }
done
for old in "$parent"/podman-*; do
  holder=${old##*/podman-}
  pid=${holder%%-*}
  # its holder was killed
  if [ -d "$old" ] && [ "${holder#*-}" != "$(began "$pid")" ]; then rm -rf "$old"; fi
done
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
    pid=$(cat "$mine/pid" 2>/dev/null || :)
    now=$([ -z "$pid" ] || work "$pid")
    did=false
    [ "$now" = "$before" ] || did=true
    before=$now
    # nobody reads any more, or nobody is there who could
    if [ "$verb" = load ]; then
      mark=-
      ! $did || mark=.
      printf '%s' "$mark" 2>/dev/null || break
    else
      mark='\002'
      ! $did || mark='\001'
      # shellcheck disable=SC2059  # an escape
      printf "$mark" >&2 || break
      # what has ended and was not waited for has no words
      grep -q . "/proc/$listener/cmdline" 2>/dev/null || break
    fi
  done
  exec >/dev/null 2>&1
  pid=$(cat "$mine/pid" 2>/dev/null || :)
  [ -z "$pid" ] || kill -KILL "$pid" || :
  rm -rf "$mine"
  rmdir "$parent" || :
}
listener=
if [ "$verb" != load ]; then
  # nothing comes; that nothing can come any more says that whoever asked is gone
  exec 3<&0 </dev/null
  cat <&3 >/dev/null 2>&1 &
  listener=$!
  exec 3<&-
fi
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
  tag) $private sh -c "$run" "$private" "$mine" tag "$2" "$3" || code=$? ;;
esac
# shellcheck disable=SC2086  # one or two
kill "$watcher" $listener 2>/dev/null || :
rm -rf "$mine"
rmdir "$parent" 2>/dev/null || :
exit "$code"
