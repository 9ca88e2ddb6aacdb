# devnet in bash: `devnet use [PROFILE]` points this shell at a cluster's Docker engine and keeps it
# right when the cluster restarts; `devnet off` gives the shell back. Put into ~/.bashrc:
#   eval "$(devnet hook bash)"
_devnet_program=DEVNET_PROGRAM

devnet() {
  case ${1-} in
    use | off)
      local script
      script=$(command "$_devnet_program" "$1" --shell bash "${@:2}") || return
      eval "$script" ;;
    *) command "$_devnet_program" "$@" ;;
  esac
}

_devnet_prompt() {
  local code=$?
  if [ -n "${DEVNET_USE-}" ]; then eval "$(command "$_devnet_program" hook --prompt bash)"; fi
  return "$code"
}

case ${PROMPT_COMMAND[*]-} in
  *_devnet_prompt*) ;;
  *) PROMPT_COMMAND="_devnet_prompt${PROMPT_COMMAND:+$'\n'$PROMPT_COMMAND}" ;;
esac
