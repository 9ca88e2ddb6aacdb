# devnet in fish: `devnet use [PROFILE]` points this shell at a cluster's Docker engine and keeps it
# right when the cluster restarts; `devnet off` gives the shell back. Put into config.fish:
#   devnet hook fish | source
set -g __devnet_program DEVNET_PROGRAM

function devnet
    switch "$argv[1]"
        case use off
            set -l script (command $__devnet_program $argv[1] --shell fish $argv[2..])
            or return
            string join -- \n $script | source
        case '*'
            command $__devnet_program $argv
    end
end

function __devnet_prompt --on-event fish_prompt
    if test -n "$DEVNET_USE"
        command $__devnet_program hook --prompt fish | source
    end
end
