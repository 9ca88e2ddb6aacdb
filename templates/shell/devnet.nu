# devnet in nu: `devnet use [PROFILE]` points this shell at a cluster's Docker engine and keeps it
# right when the cluster restarts; `devnet off` gives the shell back. nu reads files only, so once:
#   devnet hook nu | save -f ($nu.user-autoload-dirs | first | path join devnet.nu)
const _devnet_program = DEVNET_PROGRAM

# what goes is null
def --env _devnet_take [changes: string] {
  for change in ($changes | from json | default {} | transpose name value) {
    if $change.value == null {
      hide-env --ignore-errors $change.name
    } else {
      load-env {$change.name: $change.value}
    }
  }
}

def --env --wrapped devnet [...arguments] {
  let verb = ($arguments | get -o 0 | default '')
  if $verb in [use off] {
    _devnet_take (^$_devnet_program $verb --shell nu ...($arguments | skip 1))
  } else {
    ^$_devnet_program ...$arguments
  }
}

$env.config.hooks.pre_prompt = ($env.config.hooks.pre_prompt? | default [] | append {||
  if ($env.DEVNET_USE? | default '' | is-not-empty) {
    _devnet_take (^$_devnet_program hook --prompt nu)
  }
})
