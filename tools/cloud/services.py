"""The cloud's processes: what they are, their start, their end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
import os
from pathlib import Path
import signal
import socket
import subprocess
import time

from tools.cloud.places import CloudError, folder, program, sub, tail

#: What a compute host runs; everything else is the control plane.
COMPUTE, AGENT = 'nova-compute', 'neutron-agent'
#: Seconds until an agent that was asked to end is killed: nova-compute says
#: that it has ended after two, and its last threads stay.
AGENTS_PATIENCE = 4


@dataclass(frozen=True)
class Service:
    """A process.

    :ivar port: it listens there on loopback, once it is up
    :ivar ends: the signal that asks it to end
    :ivar patience: seconds after which it is killed
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int | None = None
    ends: signal.Signals = signal.SIGTERM
    patience: float = 8

    @property
    def log(self) -> Path:
        """What it prints."""
        return sub('log') / f'{self.name}.log'

    @property
    def pid(self) -> int | None:
        """Its process; None: it does not run."""
        try:
            pid = int(self._pid_file.read_text())
            stat = Path(f'/proc/{pid}/stat').read_text()
        except (OSError, ValueError):
            return None
        return None if stat.rpartition(')')[2].split()[0] == 'Z' else pid

    @property
    def _pid_file(self) -> Path:
        return sub('run') / f'{self.name}.pid'

    def start(self) -> bool:
        """Start it, unless it runs; return whether it was started."""
        if self.pid is not None:
            return False
        with open(self.log, 'a') as log:
            process = subprocess.Popen(
                self.command,
                env=os.environ | self.environment,
                cwd=folder(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._pid_file.write_text(str(process.pid))
        return True

    def wait(self, deadline: float = 90) -> None:
        """Wait until it listens.

        :raises CloudError: it has ended, or it takes too long.
        """
        if self.port is None:
            return
        end = time.monotonic() + deadline
        while not _answers(self.port):
            if self.pid is None or time.monotonic() > end:
                raise CloudError(f'{self.name} is not up\n{tail(self.log)}')
            time.sleep(0.1)


def stop(services: Sequence[Service]) -> None:
    """End services together, with all their processes."""
    pids = [(each, each.pid) for each in services]
    for service, pid in pids:
        if pid is not None:
            os.killpg(pid, service.ends)
    begun = time.monotonic()
    for service, pid in pids:
        end = begun + service.patience
        while service.pid is not None and time.monotonic() < end:
            time.sleep(0.05)
        if pid is not None and service.pid is not None:
            os.killpg(pid, signal.SIGKILL)
            while service.pid is not None:
                time.sleep(0.05)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(('127.0.0.1', port), 1).close()
    except OSError:
        return False
    return True


def _wsgi(name: str, application: str, port: int, directory: str) -> Service:
    etc = f'{folder()}/etc'
    # oslo.config in the application parses the server's arguments: it gets
    # none, and its own configuration by a file.
    return Service(
        name,
        [program('gunicorn')],
        {
            'GUNICORN_CMD_ARGS': f'-c {etc}/gunicorn/{name}.py',
            f'OS_{directory.upper()}_CONFIG_DIR': f'{etc}/{directory}',
            'OS_NEUTRON_CONFIG_FILES': 'neutron.conf',
        },
        port,
    )


#: Modules and ports of the WSGI services, with the folder of their files.
WSGI = {
    'keystone': ('keystone.wsgi.api', 5000, 'keystone'),
    'placement': ('placement.wsgi.api', 8778, 'placement'),
    'glance': ('glance.wsgi.api', 9292, 'glance'),
    'nova-api': ('nova.wsgi.osapi_compute', 8774, 'nova'),
    'neutron': ('neutron.wsgi.api', 9696, 'neutron'),
}


def _agent(name: str, program_name: str, *files: str) -> Service:
    words = [program(program_name)]
    for file in files:
        option = '--config-dir' if file.endswith('.d') else '--config-file'
        words += [option, f'{folder()}/etc/{file}']
    return Service(name, words, patience=AGENTS_PATIENCE)


def database() -> Service:
    """Return MariaDB."""
    run = f'{folder()}/run'
    return Service(
        'mariadb',
        [
            'mariadbd', '--no-defaults', '--user=root',
            f'--datadir={sub("state")}/mariadb',
            f'--socket={run}/mariadb.sock',
            f'--pid-file={run}/mariadb.own.pid',
            '--skip-networking', '--skip-log-bin', '--skip-name-resolve',
            '--max-connections=500', '--performance-schema=0',
            '--innodb-buffer-pool-size=256M', '--innodb-doublewrite=0',
            '--innodb-flush-log-at-trx-commit=0',
        ],
    )  # fmt: skip


def broker() -> Service:
    """Return RabbitMQ, a node of our own on ports of its own."""
    etc, run = f'{folder()}/etc', f'{folder()}/run'
    return Service(
        'rabbitmq',
        ['/usr/lib/rabbitmq/bin/rabbitmq-server'],
        {
            'HOME': str(sub('state/rabbitmq')),
            'RABBITMQ_NODENAME': 'kvm-tuning@localhost',
            'RABBITMQ_NODE_IP_ADDRESS': '127.0.0.1',
            'RABBITMQ_NODE_PORT': '5673',
            'RABBITMQ_DIST_PORT': '25673',
            'ERL_EPMD_ADDRESS': '127.0.0.1',
            'ERL_EPMD_PORT': '4370',
            'RABBITMQ_MNESIA_BASE': f'{folder()}/state/rabbitmq',
            'RABBITMQ_LOG_BASE': f'{folder()}/log',
            'RABBITMQ_CONFIG_FILE': f'{etc}/rabbitmq/rabbitmq.conf',
            'RABBITMQ_ENABLED_PLUGINS_FILE': f'{etc}/rabbitmq/plugins',
            'RABBITMQ_PID_FILE': f'{run}/rabbitmq.own.pid',
            'RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS': (
                '-kernel inet_dist_use_interface {127,0,0,1}'
            ),
        },
        5673,
    )


def switch() -> list[Service]:
    """Return Open vSwitch: its database, and the switch in user space."""
    return [
        Service(
            'ovsdb',
            [
                'ovsdb-server', f'{folder()}/state/ovs.db',
                '--remote=punix:/run/openvswitch/db.sock',
            ],
        ),
        Service('vswitchd', ['ovs-vswitchd', 'unix:/run/openvswitch/db.sock']),
    ]  # fmt: skip


def openstack() -> dict[str, Service]:
    """Return OpenStack's own services, by name, in the order of start."""
    nova, neutron = 'nova/nova.conf', 'neutron/neutron.conf'
    wsgi = {name: _wsgi(name, *words) for name, words in WSGI.items()}
    agents = (
        _agent('nova-conductor', 'nova-conductor', nova),
        _agent('nova-scheduler', 'nova-scheduler', nova),
        _agent(COMPUTE, 'nova-compute', nova, 'nova/compute.d'),
        _agent('neutron-rpc', 'neutron-rpc-server', neutron),
        _agent(AGENT, 'neutron-openvswitch-agent', neutron),
    )
    return wsgi | {each.name: each for each in agents}


def every() -> dict[str, Service]:
    """Return all services, by name."""
    others = [database(), broker(), *switch()]
    return {each.name: each for each in others} | openstack()


def named(names: Sequence[str]) -> list[Service]:
    """Return services by name.

    :raises CloudError: there is no such service.
    """
    known = every()
    unknown = [name for name in names if name not in known]
    if unknown:
        raise CloudError(
            f'no such service: {", ".join(unknown)}; there are '
            f'{", ".join(known)}'
        )
    return [known[name] for name in names]
