"""cloud-init's module of kvm-tuning: makes a new machine a compute node.

cloud-init finds a module by this name at the top level. It is one file and
needs nothing but the standard library, so that it works before the package is
there, which it installs when it is asked to. All else is done by ``kvm-tuning
host provision``, in the package's own environment.

The ready gate is shut first and opens when all has succeeded. An error is
raised, so that cloud-init's log and ``cloud-init status --long`` have it.
"""

import hashlib
import json
import logging
import os
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
    cloud = more['cloud'] if 'cloud' in more else rest[0]
    asked = section if isinstance(section, dict) else {}
    install = _of(asked, 'install', dict) or {}
    units = _of(asked, 'gate', list)
    units = [str(u) for u in (GATE if units is None else units)]
    venv = _of(install, 'venv', str) or VENV
    digest = _digest(section)
    fresh = _step(digest) not in ('reboot', 'done')
    if fresh:
        _begin(digest, units, venv)
        _install(install, venv, cloud)
    done = _provision(venv, section)
    _tell(done)
    if done['reboot']:
        _reboot()
    elif fresh and done['ready']:
        _open(units)


def _of(section, key, kind):
    """Return a value of the right kind; a wrong one is told later."""
    found = section.get(key)
    return found if isinstance(found, kind) else None


def _digest(section):
    text = json.dumps(section, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _step(digest):
    """Return how far this very configuration has come."""
    try:
        with open(STATE, encoding='utf-8') as file:
            found = json.load(file)
        return found['step'] if found['digest'] == digest else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _begin(digest, units, venv):
    """Shut the ready gate until all has been done."""
    command = _command(venv) or f'{venv}/bin/kvm-tuning'
    for unit in units:
        if '/' not in unit:
            _write(
                f'{UNITS}/{unit}.d/{DROP_IN}',
                '# Written by cloud-init (kvm-tuning): the ready gate.\n'
                '[Unit]\n'
                'After=kvm-tuning-host-prep.service cloud-config.service\n\n'
                f'[Service]\nExecStartPre=+{command} host ready\n',
            )
    reason = 'cloud-init has begun; see /var/log/cloud-init.log'
    state = {'step': 'begun', 'digest': digest, 'reason': reason}
    _write(STATE, json.dumps(state) + '\n')
    _run(['systemctl', 'daemon-reload'])


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
    if os.path.exists(mark):
        with open(mark, encoding='utf-8') as file:
            if file.read() == requirement:
                return
    LOG.info('installing %s into %s', requirement, venv)
    python = sys.executable or '/usr/bin/python3'
    _run([python, '-m', 'venv', '--system-site-packages', venv])
    pip = [f'{venv}/bin/python', '-m', 'pip', '--disable-pip-version-check']
    _run([*pip, '--quiet', 'install', '--', requirement])
    _write(mark, requirement)


def _command(venv):
    """Return the command ``kvm-tuning``; None when there is none."""
    inside = f'{venv}/bin/kvm-tuning'
    return inside if os.path.exists(inside) else shutil.which('kvm-tuning')


def _provision(venv, section):
    """Run ``kvm-tuning host provision``; return what it has done."""
    command = _command(venv)
    if command is None:
        raise RuntimeError(
            f'kvm-tuning is not installed, neither in {venv} nor in PATH; '
            f'set {KEY}.install.requirement, such as kvm-tuning'
        )
    done = subprocess.run(
        [command, 'host', 'provision', '-f', 'json', '-'],
        input=json.dumps(section),
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    said = done.stderr.strip()
    if done.returncode and not done.stdout.strip():
        raise RuntimeError(f'kvm-tuning: {said or done.returncode}')
    if said:
        LOG.info('kvm-tuning: %s', said)
    found = json.loads(done.stdout)
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


def _open(units):
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
