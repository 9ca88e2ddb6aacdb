#!/bin/sh
# A session of devnet's as root on a node, for as long as its own input lasts. First it tells of the node:
# its name and processor, its boot, its clock, which of the sockets that are named are there, and a line
# with a dot. Then it keeps devnet's probe in a folder of root's own: a line `SIZE SUM` on its input stands
# before the program itself (SIZE bytes, of which SUM is the SHA-256); 0 is for a folder without it. Prints the
# path of the folder.
set -eu
umask 077

uname -nm
read -r boot </proc/sys/kernel/random/boot_id
echo "$boot"
date +%s.%N
for socket; do if [ -S "$socket" ]; then echo "$socket"; fi; done
echo .
read -r size sum || exit 0

# when this process began: its number alone is given to another some day
began() {
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || stat=
  # behind the name, which may have blanks
  # shellcheck disable=SC2086  # words
  set -- ${stat##*) }
  echo "${20-}"
}

# Ends what still runs of the program. sshd closes the streams of what it started; an engine whose exec
# started it reads on, and keeps its terminal open.
hang_up() {
  # shellcheck disable=SC2010  # one process for all links, not one for each
  ls -l /proc/[0-9]*/exe 2>/dev/null | grep -F -e "-> $program" | while read -r link; do
    pid=${link% -> *}
    pid=${pid##*/proc/}
    kill -HUP "${pid%/exe}" 2>/dev/null || :
  done
}

# in the first of these that lets programs run, where one is to: minikube's containers mount /run and /tmp noexec
folder=
birth=$(began $$)
for parent in /run/devnet /var/lib/devnet /var/tmp/devnet; do
  if ! mkdir -m 0700 "$parent" 2>/dev/null; then
    # anybody else's folder may be made to be followed or replaced
    if [ ! -d "$parent" ] || [ -L "$parent" ] || [ ! -O "$parent" ]; then continue; fi
    case $(ls -ld "$parent") in drwx------*) ;; *) continue ;; esac
  fi
  for old in "$parent"/probe-*; do
    holder=${old##*/probe-}
    pid=${holder%%-*}
    # its holder was killed
    if [ -d "$old" ] && [ "${holder#*-}" != "$(began "$pid")" ]; then rm -rf "$old"; fi
  done
  mine=$parent/probe-$$-$birth
  mkdir "$mine" 2>/dev/null || continue
  if [ "$size" = 0 ]; then
    folder=$mine
    break
  fi
  printf '#!/bin/sh\n' >"$mine/try"
  chmod 0700 "$mine/try"
  if "$mine/try" 2>/dev/null; then
    folder=$mine
    break
  fi
  rm -rf "$mine"
  rmdir "$parent" 2>/dev/null || :
done
[ -n "$folder" ] || { echo 'no folder of the node can be written to or lets a program run' >&2; exit 1; }
trap 'rm -rf "$folder"; rmdir "${folder%/*}" 2>/dev/null || :' EXIT
trap 'exit 1' HUP INT TERM PIPE

program=$folder/devnet-probe
if [ "$size" != 0 ]; then
  # what exists is not written to
  set -C
  dd bs="$size" count=1 iflag=fullblock >"$program" 2>/dev/null
  arrived=$(sha256sum "$program")
  [ "${arrived%% *}" = "$sum" ] || { echo 'the program did not arrive whole' >&2; exit 1; }
  chmod 0500 "$program"
fi
echo "$folder"
# a line says that all is done
read -r _ || hang_up
