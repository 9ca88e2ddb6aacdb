#!/bin/sh
# Keeps devnet's probe in a folder of root's own on a node for as long as its own input lasts: the
# program itself (SIZE bytes, of which SUM is the SHA-256) comes first on that input. Prints the path
# of the program.
set -eu
umask 077
size=$1
sum=$2

# when this process began: its number alone is given to another some day
began() { cut -d ' ' -f 22 "/proc/$1/stat" 2>/dev/null || :; }

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

# in the first of these that lets programs run: minikube's containers mount /run and /tmp noexec
folder=
for parent in /run/devnet /var/lib/devnet /var/tmp/devnet; do
  mkdir -m 0700 "$parent" 2>/dev/null || :
  # anybody else's folder may be made to be followed or replaced
  if [ ! -d "$parent" ] || [ -L "$parent" ] || [ ! -O "$parent" ]; then continue; fi
  case $(ls -ld "$parent") in drwx------*) ;; *) continue ;; esac
  for old in "$parent"/probe-*; do
    holder=${old##*/probe-}
    pid=${holder%%-*}
    # its holder was killed
    if [ -d "$old" ] && [ "${holder#*-}" != "$(began "$pid")" ]; then rm -rf "$old"; fi
  done
  mine=$parent/probe-$$-$(began $$)
  mkdir "$mine" 2>/dev/null || continue
  printf '#!/bin/sh\n' >"$mine/try"
  chmod 0700 "$mine/try"
  if "$mine/try" 2>/dev/null; then
    folder=$mine
    break
  fi
  rm -rf "$mine"
  rmdir "$parent" 2>/dev/null || :
done
[ -n "$folder" ] || { echo 'no folder of the node lets a program run' >&2; exit 1; }
trap 'rm -rf "$folder"; rmdir "${folder%/*}" 2>/dev/null || :' EXIT
trap 'exit 1' HUP INT TERM PIPE

program=$folder/devnet-probe
# what exists is not written to
set -C
dd bs="$size" count=1 iflag=fullblock >"$program" 2>/dev/null
[ "$(sha256sum "$program" | cut -d ' ' -f 1)" = "$sum" ] || { echo 'the program did not arrive whole' >&2; exit 1; }
chmod 0500 "$program"
echo "$program"
# a line says that all is done
read -r _ || hang_up
