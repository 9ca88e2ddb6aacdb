#!/usr/bin/env bash
# Links the Windows program, in the folder DEVNET_LINK, where links lead to all that is linked. GNU ld sorts a
# program's imports by the paths of the archives that they are in: through these links the paths are the same
# wherever this checkout, Cargo's home and the toolchain are.
set -euo pipefail
cd "$DEVNET_LINK"
words=()
for word; do
  for link in *; do
    word=${word//"$(readlink "$link")/"/"$link/"}
  done
  words+=("$word")
done
exec x86_64-w64-mingw32-gcc "${words[@]}"
