"""Writes the configuration, from the files below ``etc``."""

from collections.abc import Mapping
import os
from pathlib import Path
from string import Template
import subprocess

from tools.cloud.places import HERE, folder, program, sub
from tools.cloud.services import WSGI
from tools.lib.checkout import TOP

#: The cloud's name of this machine.
HOST = 'kvm-tuning-cloud'
#: Of the only user, who is the services' user, too.
PASSWORD = 'secret'  # noqa: S105 - of a cloud on loopback
REGION = 'RegionOne'

_OPENRC = {
    'OS_AUTH_URL': 'http://127.0.0.1:5000/v3',
    'OS_USERNAME': 'admin',
    'OS_PASSWORD': PASSWORD,
    'OS_PROJECT_NAME': 'admin',
    'OS_USER_DOMAIN_NAME': 'Default',
    'OS_PROJECT_DOMAIN_NAME': 'Default',
    'OS_REGION_NAME': REGION,
    'OS_IDENTITY_API_VERSION': '3',
    'OS_COMPUTE_API_VERSION': '2.100',
    'OS_PLACEMENT_API_VERSION': '1.39',
}

# oslo.privsep starts a daemon for each of these, by sudo unless told.
_HELPERS = (
    'nova_sys_admin', 'vif_plug_ovs_privileged', 'privsep_osbrick',
    'privsep', 'privsep_dhcp_release', 'privsep_ovs_vsctl',
    'privsep_namespace', 'privsep_conntrack', 'privsep_link',
)  # fmt: skip

_GUNICORN = """\
wsgi_app = '{module}:application'
bind = '127.0.0.1:{port}'
workers = 1
threads = {threads}
timeout = 120
graceful_timeout = 3
control_socket_disable = True
proc_name = '{name}'
"""


def environment() -> Mapping[str, str]:
    """Return what clients need."""
    return _OPENRC


def write() -> None:
    """Write all of it."""
    values = _values()
    for source in (HERE / 'etc').rglob('*'):
        if source.is_file():
            text = Template(source.read_text()).substitute(values)
            target = folder() / 'etc' / source.relative_to(HERE / 'etc')
            _put(target, text)
    for name, (module, port, _folder) in WSGI.items():
        text = _GUNICORN.format(name=name, module=module, port=port, threads=4)
        _put(folder() / f'etc/gunicorn/{name}.py', text)
    # Nova looks for it beside its own file only
    pipeline = (folder() / 'venv/etc/nova/api-paste.ini').read_text()
    _put(folder() / 'etc/nova/api-paste.ini', pipeline)
    sub('etc/nova/compute.d')
    for name in ('nova/instances', 'lock', 'neutron'):
        sub(f'state/{name}')
    for name in ('images', 'staging', 'tasks'):
        sub(f'state/glance/{name}')
    _put(folder() / 'openrc', _openrc())


def node(name: str, address: str, control: str = '10.0.2.2') -> str:
    """Return nova.conf of a compute host elsewhere.

    :param name: the cloud's name of it
    :param address: its own, for other hosts
    :param control: this machine's loopback, as it is seen from there
    """
    text = (HERE / 'node.conf').read_text()
    values = _values() | {'host': name, 'address': address}
    there = Template(text).substitute(values)
    return there.replace('127.0.0.1', control)


def pcpus() -> tuple[str, str]:
    """Return the dedicated and the shared pCPUs: one for all who share."""
    count = os.cpu_count() or 1
    return f'1-{count - 1}' if count > 2 else '1', '0'


def _values() -> dict[str, str]:
    dedicated, shared = pcpus()
    run = folder() / 'run'
    return {
        'folder': str(folder()),
        'venv': str(folder() / 'venv'),
        'host': HOST,
        'database': 'mysql+pymysql://root@localhost',
        'database_options': (
            f'unix_socket={run}/mariadb.sock&charset=utf8mb4'
        ),
        'credentials': '\n'.join(
            f'{key} = {value}'
            for key, value in {
                'auth_type': 'password',
                'auth_url': _OPENRC['OS_AUTH_URL'],
                'username': 'admin',
                'password': PASSWORD,
                'project_name': 'admin',
                'user_domain_name': 'Default',
                'project_domain_name': 'Default',
                'region_name': REGION,
            }.items()
        ),
        'helpers': '\n'.join(
            f'[{group}]\nhelper_command = {program("privsep-helper")}'
            for group in _HELPERS
        ),
        'dedicated': dedicated,
        'shared': shared,
        'virt_type': _virt_type(),
    }


def _virt_type() -> str:
    # As of the functional tests
    script = f'top={TOP}; . {TOP}/tools/lib/setup.sh; guest_type'
    done = subprocess.run(
        ['bash', '-c', script], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def _openrc() -> str:
    words = [f'{key}={value}' for key, value in _OPENRC.items()]
    path = f'PATH={folder()}/venv/bin:$PATH'
    return f'export {" ".join([*words, path])}\n'


def _put(target: Path, text: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
