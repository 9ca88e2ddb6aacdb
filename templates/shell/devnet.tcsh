# devnet in tcsh: `devnet use [PROFILE]` points this shell at a cluster's Docker engine and keeps it
# right when the cluster restarts; `devnet off` gives the shell back. Put into ~/.tcshrc:
#   eval "`devnet hook tcsh`"
# Words keep their quotes in an alias, and would lose them inside backquotes.
# The alias runs devnet last, so that pipes and redirections are devnet's; after `use` and `off`,
# whose output was evaluated, an `exit` with their code stands there.
set _devnet_program = DEVNET_PROGRAM;
alias _devnet_ask '$_devnet_program:q $_devnet[2-]:q --shell tcsh';
alias _devnet_ask_prompt '$_devnet_program:q hook --prompt tcsh';
alias devnet 'set _devnet = ( \!:0 \!*:q ); set _devnet_run = ( $_devnet_program:q ); if ( "$_devnet[2-]" =~ {use,off} || "$_devnet[2-]" =~ {use,off}" "* ) set _devnet_run = (); if ( ! $#_devnet_run ) eval "`_devnet_ask`"; set _devnet_code = $status; if ( ! $#_devnet_run ) set _devnet_run = ( sh -c '"'"'exit $0'"'"' $_devnet_code ); $_devnet_run:q \!*';
if ( "`alias precmd`" !~ *_devnet_before* ) alias _devnet_before "`alias precmd`";
alias precmd 'if ( $?DEVNET_USE ) eval "`_devnet_ask_prompt`"; _devnet_before';
