"""A real OpenStack on this machine, on loopback, with the checkout's wheel.

    python tools/cloud up               install it, and start it
    python tools/cloud up control       the same without a compute host
    python tools/cloud node NAME IP     print nova.conf of a compute host that
                                        reaches this machine as 10.0.2.2
    python tools/cloud status           which of its services run
    python tools/cloud run COMMAND...   run a command (or a shell) in it
    python tools/cloud restart NAME...  stop and start services
    python tools/cloud install          put the checkout's wheel in, and
                                        restart what runs with it
    python tools/cloud down             stop it; its data stays
    python tools/cloud wipe             stop it, and delete its data

It needs root, Debian's packages of bindep.txt's profile "cloud", and 2 GB in
.cache/cloud (or in $KVM_TUNING_CACHE/cloud).
"""

from collections.abc import Sequence
import os
from pathlib import Path
import shutil
import subprocess
import sys
from typing import NoReturn

sys.path[0] = str(Path(__file__).resolve().parents[2])
from tools.cloud import inside
from tools.cloud.places import alone, folder, say
from tools.lib.checkout import ToolError

#: The services that the wheel is part of.
_OURS = ('nova-compute', 'nova-scheduler', 'nova-api')
#: What is deleted by "wipe": everything but what was installed.
_DATA = ('etc', 'log', 'run', 'state', 'openrc')


def _install(_names: Sequence[str]) -> int:
    from tools.cloud import install

    if install.install() and inside.exists():
        return inside.again('restart', *_OURS)
    return 0


def _up(names: Sequence[str]) -> int:
    from tools.cloud import install

    if install.install() and inside.exists():
        inside.again('stop', *_OURS)
    inside.make()
    return inside.again('start', *names)


def _down(_names: Sequence[str]) -> int:
    if inside.exists():
        inside.again('stop')
    inside.end()
    say('down')
    return 0


def _wipe(names: Sequence[str]) -> int:
    _down(names)
    for name in _DATA:
        path = folder() / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    return 0


def _run(words: Sequence[str]) -> NoReturn:
    from tools.cloud import config

    os.environ.update(config.environment())
    os.environ['PATH'] = f'{folder()}/venv/bin:{os.environ["PATH"]}'
    inside.become([*words] or [os.environ.get('SHELL', 'bash')])


# Inside, where the virtual environment is the cloud's


def _start(names: Sequence[str]) -> int:
    from tools.cloud import control

    if not names or [*names] == ['control']:
        control.start_all(compute=not names)
    else:
        control.start(names)
    return 0


def _stop(names: Sequence[str]) -> int:
    from tools.cloud import control

    if names:
        control.stop(names)
    else:
        control.stop_all()
    return 0


def _restart(names: Sequence[str]) -> int:
    return _stop(names) or _start(names)


def _status(_names: Sequence[str]) -> int:
    from tools.cloud import control

    return 0 if control.status() else 1


def _hold(_names: Sequence[str]) -> int:
    return inside.hold()


#: Verbs that make or end the whole: one process at a time.
_WHOLE = {'install': _install, 'up': _up, 'down': _down, 'wipe': _wipe}
_INSIDE = {
    'start': _start,
    'stop': _stop,
    'restart': _restart,
    'status': _status,
    'hold': _hold,
}


def main() -> int:
    """Return the exit status; 3 when the cloud could not be had."""
    verb, *words = sys.argv[1:] or ['']
    try:
        if verb in _WHOLE:
            with alone():
                return _WHOLE[verb](words)
        if verb in _INSIDE:
            if inside.is_inside():
                return _INSIDE[verb](words)
            return inside.again(verb, *words)
        if verb == 'node':
            from tools.cloud import config

            print(config.node(*words), end='')
            return 0
        if verb == 'run':
            _run(words)
    except (ToolError, subprocess.SubprocessError) as error:
        say(str(error))
        return 3
    print(__doc__.strip())
    return 2


if __name__ == '__main__':
    sys.exit(main())
