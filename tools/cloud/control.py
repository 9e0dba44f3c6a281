"""Starts and stops the cloud; runs inside its namespaces."""

from collections.abc import Sequence
import os
from pathlib import Path
import subprocess
import time

from tools.cloud import config, resources, services
from tools.cloud.places import (
    HERE,
    CloudError,
    folder,
    program,
    say,
    sub,
    tail,
)

_DATABASES = (
    'keystone', 'placement', 'glance', 'nova_api', 'nova_cell0', 'nova_cell1',
    'neutron',
)  # fmt: skip
_BRIDGE = 'br-int'


def start_all(compute: bool = True) -> None:
    """Start all of it, until a server could be booted.

    :param compute: whether this machine is a compute host, too.
    :raises CloudError: something does not start.
    """
    os.environ.update(config.environment())
    config.write()
    _database()
    services.broker().start()
    _switch()
    everything = services.openstack()
    made = sub('state') / 'schemas'
    if not made.exists():
        _schemas(everything['keystone'])
        made.touch()
        say('the databases have their tables')
    everything['keystone'].start()
    everything['keystone'].wait()
    # Before the others start: a client that does not find a service in the
    # catalog once never looks again.
    resources.catalog()
    services.broker().wait()
    left = () if compute else (services.COMPUTE, services.AGENT)
    start([name for name in everything if name not in left])
    resources.fill()
    say('up')


def stop_all() -> None:
    """End all of it, what has data last."""
    services.stop([*services.openstack().values()])
    services.stop([*services.switch(), services.broker()])
    services.stop([services.database()])
    subprocess.run(
        ['ip', 'link', 'delete', _BRIDGE], capture_output=True, check=False
    )


def start(names: Sequence[str]) -> None:
    """Start services, until they do their work.

    :raises CloudError: one of them does not.
    """
    os.environ.update(config.environment())
    chosen = services.named(names)
    started = [service.name for service in chosen if service.start()]
    for service in chosen:
        service.wait()

    def check() -> None:
        for service in chosen:
            if service.pid is None:
                raise CloudError(f'{service.name} ended\n{tail(service.log)}')

    running = [each.name for each in services.every().values() if each.pid]
    resources.wait(check, running, started)


def stop(names: Sequence[str]) -> None:
    """Stop services."""
    services.stop(services.named(names))


def status() -> bool:
    """Print which services run; return whether all do."""
    pids = {name: each.pid for name, each in services.every().items()}
    for name, pid in pids.items():
        print(f'{name:16} {pid or "DOWN"}')
    return None not in pids.values()


def _database() -> None:
    service = services.database()
    data = sub('state') / 'mariadb'
    if not data.exists():
        _call(
            'mariadb-install-db', '--no-defaults', '--user=root',
            f'--datadir={data}', '--auth-root-authentication-method=normal',
            '--skip-test-db',
        )  # fmt: skip
    service.start()
    socket = folder() / 'run/mariadb.sock'
    client = ['mariadb', '--no-defaults', '-uroot', f'--socket={socket}']
    _until(service, [*client, '-e', 'select 1'])
    for name in _DATABASES:
        _call(
            *client, '-e',
            f'create database if not exists {name} character set utf8mb3',
        )  # fmt: skip


def _switch() -> None:
    database, switch = services.switch()
    path = sub('state') / 'ovs.db'
    if not path.exists():
        _call(
            'ovsdb-tool', 'create', str(path),
            '/usr/share/openvswitch/vswitch.ovsschema',
        )  # fmt: skip
    vsctl = ['ovs-vsctl', '--timeout=20']
    database.start()
    _until(database, [*vsctl, '--no-wait', 'init'])
    switch.start()
    _call(
        *vsctl, '--no-wait', 'set', 'Open_vSwitch', '.',
        f'external_ids:system-id={config.HOST}',
    )  # fmt: skip
    _call(
        *vsctl, '--may-exist', 'add-br', _BRIDGE, '--', 'set', 'bridge',
        _BRIDGE, 'datapath_type=netdev', 'fail_mode=secure',
    )  # fmt: skip


def _schemas(keystone: services.Service) -> None:
    """Make all tables, at once."""
    etc = folder() / 'etc'
    python = program('python')
    running = {
        name: _background(name, command)
        for name, command in {
            'nova': [python, str(HERE / 'schemas.py'), 'nova', str(etc)],
            'neutron': [python, str(HERE / 'schemas.py'), 'neutron', str(etc)],
            'placement': [
                program('placement-manage'),
                '--config-file', f'{etc}/placement/placement.conf',
                'db', 'sync',
            ],
            'glance': [
                program('glance-manage'),
                '--config-file', f'{etc}/glance/glance-api.conf', 'db_sync',
            ],
        }.items()
    }  # fmt: skip
    manage = [
        program('keystone-manage'),
        '--config-file', f'{etc}/keystone/keystone.conf',
    ]  # fmt: skip
    url = 'http://127.0.0.1:5000/v3/'
    for keys in ('fernet-keys', 'credential-keys'):
        sub(f'state/{keys}').chmod(0o700)
    _call(*manage, 'db_sync')
    _call(
        *manage, 'fernet_setup',
        '--keystone-user', 'root', '--keystone-group', 'root',
    )  # fmt: skip
    _call(
        *manage, 'bootstrap', '--bootstrap-password', config.PASSWORD,
        '--bootstrap-admin-url', url, '--bootstrap-internal-url', url,
        '--bootstrap-public-url', url,
        '--bootstrap-region-id', config.REGION,
    )  # fmt: skip
    keystone.start()
    for name, process in running.items():
        if process.wait():
            raise CloudError(tail(_log(name)))


def _background(name: str, command: list[str]) -> 'subprocess.Popen[bytes]':
    with open(_log(name), 'w') as log:
        return subprocess.Popen(command, stdout=log, stderr=log)


def _log(name: str) -> Path:
    return sub('log') / f'schema-{name}.log'


def _until(service: services.Service, command: list[str]) -> None:
    """Wait until a command succeeds.

    :raises CloudError: the service does not run, or it takes too long.
    """
    end = time.monotonic() + 60
    while subprocess.run(command, capture_output=True, check=False).returncode:
        if service.pid is None or time.monotonic() > end:
            raise CloudError(f'{service.name} is not up\n{tail(service.log)}')
        time.sleep(0.1)


def _call(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CloudError(f'{" ".join(command)}: {done.stderr[-1500:]}')
