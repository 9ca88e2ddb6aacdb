# devnet in zsh: `devnet use [PROFILE]` points this shell at a cluster's Docker engine and keeps it
# right when the cluster restarts; `devnet off` gives the shell back. Put into ~/.zshrc:
#   eval "$(devnet hook zsh)"
_devnet_program=DEVNET_PROGRAM
_devnet_host=

devnet() {
  case ${1-} in
    use)
      if (( $# > 2 )); then echo 'usage: devnet use [PROFILE]' >&2; return 2; fi
      eval "$(command "$_devnet_program" ${2+-p} ${2+"$2"} env --shell zsh)" || return
      _devnet_host=$DOCKER_HOST ;;
    off)
      _devnet_host=
      eval "$(command "$_devnet_program" env --shell zsh --unset)" ;;
    *) command "$_devnet_program" "$@" ;;
  esac
}

# a DOCKER_HOST that someone else has set since is left alone
_devnet_prompt() {
  if [[ -n $_devnet_host && $_devnet_host == "${DOCKER_HOST-}" && -n ${MINIKUBE_ACTIVE_DOCKERD-} ]]; then
    eval "$(command "$_devnet_program" -p "$MINIKUBE_ACTIVE_DOCKERD" hook --prompt zsh)"
    _devnet_host=${DOCKER_HOST-}
  fi
}

autoload -Uz add-zsh-hook
add-zsh-hook precmd _devnet_prompt
