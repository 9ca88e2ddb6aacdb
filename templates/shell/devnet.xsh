# devnet in xonsh: `devnet use [PROFILE]` points this shell at a cluster's Docker engine and keeps
# it right when the cluster restarts; `devnet off` gives the shell back. Put into ~/.xonshrc:
#   execx($(devnet hook xonsh))
from xonsh.tools import unthreadable as _devnet_unthreadable

_devnet_program = DEVNET_PROGRAM


def _devnet_evaluate(*arguments):
    import subprocess
    run = subprocess.run([_devnet_program, *arguments], stdout=subprocess.PIPE, text=True, env=__xonsh__.env.detype())
    if run.returncode == 0 and run.stdout:
        __xonsh__.execer.exec(run.stdout, glbs=__xonsh__.ctx)
    return run.returncode


@_devnet_unthreadable
def _devnet_command(arguments):
    import subprocess
    if arguments[:1] in (['use'], ['off']):
        return _devnet_evaluate(arguments[0], '--shell', 'xonsh', *arguments[1:])
    return subprocess.call([_devnet_program, *arguments], env=__xonsh__.env.detype())


def _devnet_prompt(**_):
    if __xonsh__.env.get('DEVNET_USE'):
        _devnet_evaluate('hook', '--prompt', 'xonsh')


aliases['devnet'] = _devnet_command
events.on_pre_prompt(_devnet_prompt)
