# devnet in elvish: `devnet use [PROFILE]` points this shell at a cluster's Docker engine and keeps
# it right when the cluster restarts; `devnet off` gives the shell back. Put into rc.elv:
#   eval (devnet hook elvish | slurp)
var devnet-program = (external DEVNET_PROGRAM)

edit:add-var devnet~ {|@arguments|
  if (and (> (count $arguments) 0) (or (eq $arguments[0] use) (eq $arguments[0] off))) {
    eval ($devnet-program $arguments[0] --shell elvish (all $arguments[1..]) | slurp)
  } else {
    $devnet-program $@arguments
  }
}

set edit:before-readline = [$@edit:before-readline {
  if (not-eq $E:DEVNET_USE '') { eval ($devnet-program hook --prompt elvish | slurp) }
}]
