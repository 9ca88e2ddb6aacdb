# devnet in elvish: `devnet use [PROFILE]` points this shell at a cluster's Docker engine and keeps
# it right when the cluster restarts; `devnet off` gives the shell back. Put into rc.elv:
#   eval (devnet hook elvish | slurp)
var devnet-program = (external DEVNET_PROGRAM)
var devnet-host = ''

edit:add-var devnet~ {|@arguments|
  var verb = ''
  if (> (count $arguments) 0) { set verb = $arguments[0] }
  if (eq $verb use) {
    if (> (count $arguments) 2) { fail 'usage: devnet use [PROFILE]' }
    var profile = []
    if (== (count $arguments) 2) { set profile = [-p $arguments[1]] }
    eval ($devnet-program $@profile env --shell elvish | slurp)
    set devnet-host = $E:DOCKER_HOST
  } elif (eq $verb off) {
    set devnet-host = ''
    eval ($devnet-program env --shell elvish --unset | slurp)
  } else {
    $devnet-program $@arguments
  }
}

# a DOCKER_HOST that someone else has set since is left alone
set edit:before-readline = [$@edit:before-readline {
  if (and (not-eq $devnet-host '') (eq $devnet-host $E:DOCKER_HOST) (not-eq $E:MINIKUBE_ACTIVE_DOCKERD '')) {
    eval ($devnet-program -p $E:MINIKUBE_ACTIVE_DOCKERD hook --prompt elvish | slurp)
    set devnet-host = $E:DOCKER_HOST
  }
}]
