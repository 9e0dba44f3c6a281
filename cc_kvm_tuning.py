"""cloud-init's module of kvm-tuning: makes a new machine a compute node.

cloud-init finds a module by this name at the top level. It is one file and
needs nothing but the standard library, so that it works before the package is
there, which it installs when it is asked to. All else is done by ``kvm-tuning
host provision``, in the package's own environment.

The ready gate is shut first and opens when all has succeeded. An error is
raised, so that cloud-init's log and ``cloud-init status --long`` have it.
"""

import glob
import hashlib
import json
import logging
import math
import os
import re
import shutil
import subprocess
import sys

KEY = 'kvm_tuning'
VENV = '/opt/kvm-tuning'
STATE = '/var/lib/kvm-tuning/provision.json'
UNITS = '/etc/systemd/system'
DROP_IN = '50-kvm-tuning.conf'
GATE = ('nova-compute.service',)
_SECONDS = 1800
_HEAD = '# Written by cloud-init (kvm-tuning): the ready gate.\n'
# What may become part of a unit before the document has been checked.
_UNIT = re.compile(r'[A-Za-z0-9@:_.\\-]+\.service')
_PATH = re.compile(r'/[^\s%"\'\\]*')

# Run at each boot: a second one finds nothing to do, and says so.
meta = {
    'id': 'cc_kvm_tuning',
    'name': 'kvm-tuning',
    'title': 'Make this machine a tuned compute node',
    'description': __doc__,
    'distros': ['all'],
    'frequency': 'always',
    'examples': [],
    'activate_by_schema_keys': [KEY],
}

LOG = logging.getLogger(__name__)


# cloud-init gives (name, cfg, cloud, log, args) before 23.2, and takes a
# function of five parameters for one of those; later four keywords.
def handle(name, cfg, *rest, **more):
    """Set this machine up as ``cfg`` says below our key."""
    section = cfg.get(KEY)
    if section is None:
        LOG.debug('no %s in the configuration, nothing to do', KEY)
        return
    asked = section if isinstance(section, dict) else {}
    install = _of(asked, 'install', dict) or {}
    units = _of(asked, 'gate', list)
    units = list(GATE) if units is None else list(filter(_is_unit, units))
    venv = _of(install, 'venv', str) or VENV
    venv = venv if _PATH.fullmatch(venv) else VENV
    digest = _digest(section)
    fresh = _step(digest) not in ('reboot', 'done') or not _works(venv)
    if fresh:
        _shut(digest, units, venv)
        _refuse_foreign(digest, section)
        _install(install, venv, more['cloud'] if 'cloud' in more else rest[0])
    done = _provision(digest, venv, section)
    _tell(done)
    if done['reboot']:
        _reboot()
    elif done['ready']:
        released = _release(units)
        # What has been healed by this very run was refused by the gate.
        if fresh or done['changed'] or done['written']:
            _start([*units, *released])
        else:
            _start(released)


def _of(section, key, kind):
    """Return a value of the right kind; a wrong one is told later."""
    found = section.get(key)
    return found if isinstance(found, kind) else None


def _is_unit(name):
    return isinstance(name, str) and _UNIT.fullmatch(name)


def _digest(section):
    """Return a document's name, as ``kvm-tuning host provision`` makes it."""
    try:
        text = json.dumps(section, sort_keys=True)
    except (TypeError, ValueError):
        # JSON cannot carry it, and it is refused.
        text = repr(section)
    return hashlib.sha256(text.encode()).hexdigest()


def _step(digest):
    """Return how far this very configuration has come."""
    try:
        with open(STATE, encoding='utf-8') as file:
            found = json.load(file)
        return found['step'] if found['digest'] == digest else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _note(step, digest, reason):
    state = {'step': step, 'digest': digest, 'reason': reason}
    _write(STATE, json.dumps(state) + '\n')


def _shut(digest, units, venv):
    """Shut the ready gate until all has been done."""
    _note('begun', digest, 'cloud-init has begun; see /var/log/cloud-init.log')
    command = _command(venv) or f'{venv}/bin/kvm-tuning'
    for unit in units:
        _write(
            f'{UNITS}/{unit}.d/{DROP_IN}',
            f'{_HEAD}[Unit]\n'
            'After=kvm-tuning-host-prep.service cloud-config.service\n\n'
            f'[Service]\nExecStartPre=+{command} host ready\n',
        )
    _run(['systemctl', 'daemon-reload'])


def _release(units):
    """Take the gate from units that the document no longer names; return
    them.
    """
    released = []
    for path in sorted(glob.glob(f'{UNITS}/*.d/{DROP_IN}')):
        folder = os.path.dirname(path)
        unit = os.path.basename(folder).removesuffix('.d')
        with open(path, encoding='utf-8') as file:
            ours = file.read().startswith(_HEAD)
        if ours and unit not in units:
            os.unlink(path)
            if not os.listdir(folder):
                os.rmdir(folder)
            released.append(unit)
    if released:
        _run(['systemctl', 'daemon-reload'])
    return released


def _refuse_foreign(digest, section):
    """Refuse what JSON, and so ``kvm-tuning host provision``, cannot take."""
    wrong = '; '.join(_foreign(section, KEY))
    if wrong:
        reason = f'ConfigInvalid: {wrong}'
        _note('failed', digest, reason)
        raise RuntimeError(f'kvm-tuning: {reason}')


def _foreign(value, key):
    """Yield what is wrong with each value that JSON does not have."""
    if isinstance(value, dict):
        for name, below in value.items():
            if isinstance(name, str):
                yield from _foreign(below, f'{key}.{name}')
            else:
                yield f'{key}.{name} is not a text: write the key in quotes'
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from _foreign(each, f'{key}.{number}')
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield f'{key} = {value}: want a finite number'
    elif not (value is None or isinstance(value, (str, int))):
        kind = type(value).__name__
        yield f'{key} = {value} is read as a {kind}: write it in quotes'


def _write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    unfinished = f'{path}.new'
    with open(unfinished, 'w', encoding='utf-8') as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(unfinished, path)


def _install(install, venv, cloud):
    """Install what is asked for and is not there."""
    packages = _of(install, 'packages', list)
    if packages:
        cloud.distro.update_package_sources()
        cloud.distro.install_packages([str(p) for p in packages])
    requirement = _of(install, 'requirement', str)
    if requirement is None:
        return
    mark = f'{venv}/kvm-tuning.requirement'
    if os.path.exists(mark) and _works(venv):
        with open(mark, encoding='utf-8') as file:
            if file.read() == requirement:
                return
    LOG.info('installing %s into %s', requirement, venv)
    _drop_dead_links(f'{venv}/bin')
    python = sys.executable or '/usr/bin/python3'
    _run([python, '-m', 'venv', '--system-site-packages', venv])
    pip = [f'{venv}/bin/python', '-m', 'pip', '--disable-pip-version-check']
    _run([*pip, '--quiet', 'install', '--', requirement])
    _drop_old_libraries(venv)
    _write(mark, requirement)


def _drop_dead_links(folder):
    """Remove links to a Python that is gone: venv takes them for its own."""
    for path in glob.glob(f'{folder}/*'):
        if os.path.islink(path) and not os.path.exists(path):
            os.unlink(path)


def _drop_old_libraries(venv):
    """Remove the libraries of another Python, once this very module is not
    found there any more.
    """
    now = 'python{}.{}'.format(*sys.version_info[:2])
    ours = f'{venv}/lib/{now}/site-packages/{os.path.basename(__file__)}'
    if not os.path.exists(ours):
        return
    inside = os.path.realpath(venv) + os.sep
    if os.path.islink(__file__) and (
        os.path.realpath(__file__).startswith(inside)
    ):
        unfinished = f'{__file__}.new'
        os.symlink(ours, unfinished)
        os.replace(unfinished, __file__)
    for path in glob.glob(f'{venv}/lib/python3.*'):
        if os.path.basename(path) != now:
            shutil.rmtree(path)


def _command(venv):
    """Return the command ``kvm-tuning``; None when there is none."""
    inside = f'{venv}/bin/kvm-tuning'
    return inside if os.path.exists(inside) else shutil.which('kvm-tuning')


def _works(venv):
    """Return whether the command is there, and its Python finds the package:
    an upgrade of the distribution takes the one or the other away.
    """
    command = _command(venv)
    try:
        with open(command or '', 'rb') as file:
            first = file.readline(4096).decode(errors='replace')
        words = first.removeprefix('#!').split()
        if not first.startswith('#!') or not words:
            return True
        if not os.path.basename(words[0]).startswith('python'):
            return os.access(words[0], os.X_OK)
        done = subprocess.run(
            [words[0], '-c', 'import kvm_tuning'],
            cwd='/',
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except OSError:
        return False
    return done.returncode == 0


def _provision(digest, venv, section):
    """Run ``kvm-tuning host provision``; return what it has done."""
    command = _command(venv)
    if command is None:
        raise RuntimeError(
            f'kvm-tuning is not installed, neither in {venv} nor in PATH; '
            f'set {KEY}.install.requirement, such as kvm-tuning'
        )
    if not _works(venv):
        reason = (
            f'{command} does not run, as its Python or its libraries are '
            f'gone; set {KEY}.install.requirement to have it installed again'
        )
        _note('failed', digest, reason)
        raise RuntimeError(f'kvm-tuning: {reason}')
    try:
        done = subprocess.run(
            [command, 'host', 'provision', '-f', 'json', '-'],
            input=json.dumps(section),
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        reason = f'{command} has not ended: {error}'
        _note('failed', digest, reason)
        raise RuntimeError(f'kvm-tuning: {reason}') from error
    said = done.stderr.strip()
    try:
        found = json.loads(done.stdout)
    except ValueError as error:
        # What it refuses, it has noted itself.
        if _step(digest) != 'failed':
            _note('failed', digest, said or f'exit status {done.returncode}')
        raise RuntimeError(f'kvm-tuning: {said or done.returncode}') from error
    if said:
        LOG.info('kvm-tuning: %s', said)
    if done.returncode:
        reasons = '; '.join(found['reasons'])
        raise RuntimeError(f'kvm-tuning: not ready: {reasons}')
    return found


def _tell(done):
    """Leave the result in cloud-init's log, on the console, the journal."""
    made = done['written'] + done['changed']
    text = f'made: {", ".join(made)}' if made else 'nothing to do'
    if done['ready']:
        text = f'ready; {text}'
    elif done['reboot']:
        text = f'{text}; reboots for: {", ".join(done["waiting"])}'
    for note in done['notes']:
        LOG.info('kvm-tuning: %s', note)
    LOG.info('kvm-tuning: %s', text)
    print(f'kvm-tuning: {text}', flush=True)
    if done['waiting'] and not done['reboot']:
        LOG.warning(
            'kvm-tuning: not ready before a reboot, which is not allowed '
            '(%s.reboot): %s',
            KEY,
            ', '.join(done['waiting']),
        )


def _reboot():
    """Have the machine reboot once cloud-init has ended."""
    _run([
        'systemd-run', '--quiet', '--no-block', '--collect',
        '--unit=kvm-tuning-reboot', '--property=Type=oneshot',
        '--property=After=cloud-final.service', 'systemctl', 'reboot',
    ])  # fmt: skip


def _start(units):
    """Start what the gate has kept from starting."""
    for unit in units:
        enabled = subprocess.run(
            ['systemctl', 'is-enabled', '--quiet', unit], check=False
        )
        if enabled.returncode == 0:
            _run(['systemctl', 'reset-failed', unit])
            _run(['systemctl', 'start', '--no-block', unit])


def _run(command):
    """Run a command; what it says is in the error that is raised."""
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode:
        said = ' '.join(done.stdout.split())[-500:]
        raise RuntimeError(f'{" ".join(command)} failed: {said}')
