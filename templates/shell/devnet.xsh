# devnet in xonsh: `devnet use [PROFILE]` points this shell at a cluster's Docker engine and keeps
# it right when the cluster restarts; `devnet off` gives the shell back. Put into ~/.xonshrc:
#   execx($(devnet hook xonsh))
from xonsh.tools import unthreadable as _devnet_unthreadable

_devnet = {'program': DEVNET_PROGRAM, 'host': ''}


def _devnet_evaluate(*arguments):
    import subprocess
    run = subprocess.run([_devnet['program'], *arguments], stdout=subprocess.PIPE, text=True, env=__xonsh__.env.detype())
    if run.returncode == 0 and run.stdout:
        __xonsh__.execer.exec(run.stdout, glbs=__xonsh__.ctx)
    return run.returncode


@_devnet_unthreadable
def _devnet_command(arguments):
    import subprocess
    import sys
    if arguments[:1] == ['use']:
        if len(arguments) > 2:
            print('usage: devnet use [PROFILE]', file=sys.stderr)
            return 2
        profile = ['-p', arguments[1]] if len(arguments) == 2 else []
        code = _devnet_evaluate(*profile, 'env', '--shell', 'xonsh')
        if code == 0:
            _devnet['host'] = __xonsh__.env.get('DOCKER_HOST', '')
        return code
    if arguments == ['off']:
        _devnet['host'] = ''
        return _devnet_evaluate('env', '--shell', 'xonsh', '--unset')
    return subprocess.call([_devnet['program'], *arguments], env=__xonsh__.env.detype())


# a DOCKER_HOST that someone else has set since is left alone
def _devnet_prompt(**_):
    env = __xonsh__.env
    if _devnet['host'] and _devnet['host'] == env.get('DOCKER_HOST') and env.get('MINIKUBE_ACTIVE_DOCKERD'):
        _devnet_evaluate('-p', env['MINIKUBE_ACTIVE_DOCKERD'], 'hook', '--prompt', 'xonsh')
        _devnet['host'] = env.get('DOCKER_HOST', '')


aliases['devnet'] = _devnet_command
events.on_pre_prompt(_devnet_prompt)
