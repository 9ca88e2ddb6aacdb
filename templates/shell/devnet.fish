# devnet in fish: `devnet use [PROFILE]` points this shell at a cluster's Docker engine and keeps it
# right when the cluster restarts; `devnet off` gives the shell back. Put into config.fish:
#   devnet hook fish | source
set -g __devnet_program DEVNET_PROGRAM
set -g __devnet_host ''

function devnet
    switch "$argv[1]"
        case use
            if test (count $argv) -gt 2
                echo 'usage: devnet use [PROFILE]' >&2
                return 2
            end
            set -l profile
            set -q argv[2]; and set profile -p $argv[2]
            command $__devnet_program $profile env --shell fish | source
            or return
            set -g __devnet_host $DOCKER_HOST
        case off
            set -g __devnet_host ''
            command $__devnet_program env --shell fish --unset | source
        case '*'
            command $__devnet_program $argv
    end
end

# a DOCKER_HOST that someone else has set since is left alone
function __devnet_prompt --on-event fish_prompt
    if test -n "$__devnet_host"; and test "$__devnet_host" = "$DOCKER_HOST"; and test -n "$MINIKUBE_ACTIVE_DOCKERD"
        command $__devnet_program -p $MINIKUBE_ACTIVE_DOCKERD hook --prompt fish | source
        set -g __devnet_host "$DOCKER_HOST"
    end
end
