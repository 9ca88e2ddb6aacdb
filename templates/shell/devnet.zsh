# devnet in zsh: `devnet use [PROFILE]` points this shell at a cluster's Docker engine and keeps it
# right when the cluster restarts; `devnet off` gives the shell back. Put into ~/.zshrc:
#   eval "$(devnet hook zsh)"
_devnet_program=DEVNET_PROGRAM

devnet() {
  case ${1-} in
    use | off)
      local script
      script=$(command "$_devnet_program" "$1" --shell zsh "${@:2}") || return
      eval "$script" ;;
    *) command "$_devnet_program" "$@" ;;
  esac
}

_devnet_prompt() {
  if [[ -n ${DEVNET_USE-} ]]; then eval "$(command "$_devnet_program" hook --prompt zsh)"; fi
}

autoload -Uz add-zsh-hook
add-zsh-hook precmd _devnet_prompt
