# Part of run.sh: `logs` and `exec` beside the docker command, over TLS on one engine.
# shellcheck shell=bash disable=SC2154  # its variables are run.sh's

logs_ready() {
  mkdir -p busybox/bin; cp "$(command -v busybox)" busybox/bin/busybox
  tar -C busybox -cf - bin | "${node[@]}" import - bench:busybox >/dev/null
  # shellcheck disable=SC2016  # the container's shell expands it
  local i script='i=0; while [ $i -lt 100000 ]; do echo "line $i of a log as a server may write it, with some words and a number"; i=$((i+1)); done; exec /bin/busybox sleep 3600'
  "${node[@]}" run -d --name bench-pause --network none bench:busybox /bin/busybox sleep 3600 >/dev/null
  for i in 1 2 3; do
    "${node[@]}" run -d --name "bench-$i" --network container:bench-pause bench:busybox /bin/busybox sh -c "$script" >/dev/null
  done
  for i in 1 2 3; do
    until "${node[@]}" logs --tail 1 "bench-$i" 2>/dev/null | grep -q 'line 99999 '; do :; done
  done
}

logs_gone() { "${node[@]}" rm -f bench-1 bench-2 bench-3 bench-pause >/dev/null 2>&1; "${node[@]}" rmi -f bench:busybox >/dev/null 2>&1; }

logs_bench() {
  logs_ready
  local H=(-H tcp://127.0.0.2:2376 --tls-cert-path "$certs")
  # shellcheck disable=SC2016  # run by `bash -c`
  local three=(bash -c 'for i in 1 2 3; do "$@" logs -t "bench-$i" & done; wait' -- "${node[@]}")
  local ours; ours=$(median true "$devnet" "${H[@]}" logs bench-pause --timestamps)
  row "logs, 3 x 100,000 lines merged" "$ours" "$(median true "${three[@]}")" "docker logs -t, three at once"
  awk -v s="$ours" -v b="$("$devnet" "${H[@]}" logs bench-pause --timestamps | wc -c)" 'BEGIN { printf "  that is %.0f MB/s\n", b / s / 1e6 }'
  # shellcheck disable=SC2016  # run by `bash -c`
  row "logs, the first line" "$(median true bash -c '"$@" | head -n 1' -- "$devnet" "${H[@]}" logs bench-pause)" \
    "$(median true bash -c '"$@" | head -n 1' -- "${node[@]}" logs bench-1)" "docker logs"
  echo "peak memory of logs: $(peak "$devnet" "${H[@]}" logs bench-pause)"
  row "exec POD -- true" "$(median true "$devnet" "${H[@]}" exec bench-pause -c bench-1 -- /bin/busybox true)" \
    "$(median true "${node[@]}" exec bench-1 /bin/busybox true)" "docker exec"
  logs_gone
}
