#!/usr/bin/env bash
# An OCI runtime for containers that stand for nodes of minikube's docker driver: what is run in such a
# container by `docker exec` runs in the node of node.sh whose folder its variable NODE_FOLDER names. The
# container shares the process numbers of this computer and has /bin/busybox.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin
all=("$@") process=''
case " $* " in *" exec "*)
  for place in "${!all[@]}"; do
    [ "${all[$place]}" = --process ] && process=${all[$((place + 1))]}
  done ;;
esac
if [ -n "$process" ]; then
  folder=$(grep -o '"NODE_FOLDER=[^"]*' "$process"); folder=${folder#*=}
  pid=$(cat "$folder/pid")
  # the name of a program that busybox has too would be taken for its own
  into="\"/bin/busybox\",\"nsenter\",\"-t\",\"$pid\",\"-m\",\"-u\",\"-i\",\"-n\",\"-p/proc/$pid/ns/pid_for_children\",\"--\",\"/usr/bin/env\""
  sed -i "s|\"args\":\[|\"args\":[$into,|" "$process"
fi
exec runc "$@"
