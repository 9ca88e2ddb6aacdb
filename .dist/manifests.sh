#!/usr/bin/env bash
# Writes SHA256SUMS and the manifests of Homebrew, Scoop, winget and krew beside the artefacts in the folder $1.
# In the templates (.dist/manifests) a block from `#if TARGET` to `#end` stands for an archive: without it, it is left out.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$1
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
repository=$(sed -n 's/^repository = "\(.*\)"/\1/p' Cargo.toml)
description=$(sed -n 's/^description = "\(.*\)"/\1/p' Cargo.toml)

(cd "$out" && find . -maxdepth 1 -type f ! -name 'SHA256SUMS*' -printf '%f\n' | LC_ALL=C sort | xargs -d '\n' sha256sum) > "$out/SHA256SUMS.new"
mv "$out/SHA256SUMS.new" "$out/SHA256SUMS"

have=' ' fill=(-e "s|@VERSION@|$version|g" -e "s|@REPOSITORY@|$repository|g" -e "s|@DESCRIPTION@|$description|g"
  -e "s|@DOWNLOAD@|$repository/releases/download/v$version|g")
for file in "$out/devnet-$version"-*.tar.gz "$out/devnet-$version"-*.zip; do
  [ -f "$file" ] || continue
  name=${file##*/}
  target=${name#"devnet-$version-"}; target=${target%.tar.gz}; target=${target%.zip}
  sum=$(sha256sum < "$file"); sum=${sum%% *}
  have="$have$target "
  fill+=(-e "s|@SHA256:$target@|$sum|g" -e "s|@FILE:$target@|$name|g")
done

(cd .dist/manifests && find . -type f) | while read -r template; do
  mkdir -p "$(dirname "$out/manifests/$template")"
  awk -v have="$have" '/^ *#if /{without = !index(have, " " $2 " "); next} /^ *#end$/{without = 0; next} !without' ".dist/manifests/$template" |
    sed "${fill[@]}" > "$out/manifests/$template"
  if grep -Hn '@[A-Z0-9]*[:@]' "$out/manifests/$template" >&2; then echo "manifests: nothing is known of these" >&2; exit 1; fi
done
