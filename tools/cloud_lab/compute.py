"""Lab nodes as compute hosts of the cloud outside."""

import json
from pathlib import Path
import secrets
import shlex
import subprocess
import sys
from typing import Any

from tools.cloud_lab import seed
from tools.cloud_lab.nova_image import NOVA, VENV, staged
from tools.lab.machine import Hardware
from tools.lab.node import Node
from tools.lab.places import LabError, digest, folder, say
from tools.lib.checkout import TOP

#: The number of the other one: their second NICs are connected.
_PEERS = {1: 2, 2: 1}
# Of the saved state; each node gives its own the last byte.
_MAC = '52:54:00:aa:01:0'
_HARDWARE = Hardware(
    cell_mib=2048,
    more=(
        '-netdev',
        'dgram,id=peer,local.type=unix,local.path=own.sock,'
        'remote.type=unix,remote.path=peer.sock',
        '-device',
        f'virtio-net-pci,bus=pcie.0,netdev=peer,mac={_MAC}0,romfile=',
    ),
    reaches_out=True,
)

# What is slow the first time, and all of nova-compute's imports.
_WARM = f"""
set -e
virsh -q create --paused /dev/stdin >/dev/null <<END
<domain type='kvm'><name>warm</name><memory unit='MiB'>32</memory>
<vcpu>1</vcpu><os><type arch='x86_64' machine='pc'>hvm</type></os>
<cpu mode='host-passthrough'/></domain>
END
virsh -q destroy warm >/dev/null
qemu-img --version >/dev/null
EVENTLET_NO_GREENDNS=yes {VENV}/bin/python -c 'import cliff.app, lxml.etree, \
  oslo_log.log, oslo_concurrency.lockutils, pyroute2, libvirt'
systemctl start nova-compute-ahead
until test -e /run/nova-ahead.ready; do
  systemctl -q is-active nova-compute-ahead
  sleep 0.5
done
sync
"""

# All nodes of one saved state have the kernel's random state of that time:
# what each takes for unique would be the same in all of them. RNDRESEEDCRNG of
# linux/random.h comes after what differs.
_RESEED = """
import fcntl
with open('/dev/urandom', 'wb', 0) as file:
    file.write(b'{random}')
    fcntl.ioctl(file, 0x5207)
"""
_IDENTITY = """
set -e
python3 -c {reseed}
hostname {name}
echo {name} >/etc/hostname
printf '127.0.0.1 localhost\\n{hosts}' >/etc/hosts
echo {machine} >/etc/machine-id
ip link set peer0 address {mac}
ip address add {address}/24 dev peer0
ip link set peer0 up
sed -i '/^host_uuid/d' /etc/libvirt/libvirtd.conf
echo 'host_uuid = "{uuid}"' >>/etc/libvirt/libvirtd.conf
systemctl restart libvirtd
"""

#: What host-prep makes of a node: two pCPUs of each cell are for guests.
CONFIG: dict[str, dict[str, Any]] = {
    'sriov': {'vfs': ['driver:igb=2']},
    'huge_pages': {
        'pages': [
            {'node': cell, 'size': 2048, 'count': 160} for cell in (0, 1)
        ]
    },
    'kvm_modules': {'vhost_net': True},
    'cpu_isolation': {
        'housekeeping_cpus': '0-1,4-5',
        'isolate_by': [],
        'systemd_affinity': False,
        'irq_affinity': False,
    },
}
_TOOL = 'EVENTLET_NO_GREENDNS=yes kvm-tuning'
_FRAGMENT = '/etc/nova/nova.conf.d/kvm-tuning.conf'


class ComputeNode(Node):
    """A node that is restored with a nova-compute that waits.

    :ivar address: of the NIC that leads to the other node
    """

    def __init__(self, number: int) -> None:
        super().__init__(name(number), NOVA, _HARDWARE)
        self.number = number
        self.address = _address(number)

    def warm(self) -> None:
        """Do once what is slow the first time."""
        super().warm()
        self.run(_WARM, timeout=600)

    def _golden_stamp(self) -> str:
        return digest([super()._golden_stamp(), _WARM])

    def _launch(self, more: Any, kernel_args: str = '') -> None:
        peer = self.place / 'peer.sock'
        if self.number in _PEERS and not peer.is_symlink():
            # Relative: paths of sockets are short.
            peer.symlink_to(f'../{name(_PEERS[self.number])}/own.sock')
        super()._launch(more, kernel_args)

    def prepare(self, ours: Path) -> None:
        """Make the running node a host of its own, with the project in Nova's
        environment, and what guests need.

        :param ours: of :func:`~nova_image.staged`
        :raises LabError: a step failed.
        """
        self._identify()
        # Nova copies disks by ssh when it migrates a guest that is off.
        self.send(self.image.boot, ['id_lab'], '/root/.ssh')
        self.send(ours, ['opt'], '/', compiled=True)
        self.run(f'ln -sf {VENV}/bin/kvm-tuning* /usr/bin/')
        self._write('/etc/kvm-tuning/kvm-tuning.conf', _ini(CONFIG))
        applied = json.loads(
            self.run(f'{_TOOL} host apply -f json', timeout=300)
        )
        if applied['failed'] or applied['taken_back']:
            raise LabError(f'{self.place.name}: host apply: {applied}')
        self.run(f'{_TOOL} host fragment >{_FRAGMENT}')
        say(f'{self.place.name}: prepared')

    def compute(self) -> None:
        """Let nova-compute go."""
        self._write('/etc/nova/nova.conf',
                    nova_conf(self.place.name, self.address))  # fmt: skip
        # Nova refuses to start where its host is known, and this file is not.
        self._write('/var/lib/nova/compute_id', _uuid(self.number, 2))
        self.run('touch /run/nova-ahead.go')

    def _identify(self) -> None:
        hosts = ''.join(
            f'{_address(each)} {name(each)}\\n' for each in sorted(_PEERS)
        )
        random = secrets.token_hex(32)
        self.run(
            _IDENTITY.format(
                reseed=shlex.quote(_RESEED.format(random=random)),
                name=self.place.name,
                hosts=hosts,
                machine=secrets.token_hex(16),
                mac=f'{_MAC}{self.number}',
                address=self.address,
                uuid=_uuid(self.number, 1),
            )
        )

    def _write(self, path: str, text: str) -> None:
        place = shlex.quote(path)
        self.run(
            f'mkdir -p $(dirname {place}) && '
            f'printf %s {shlex.quote(text)} >{place}'
        )


def name(number: int) -> str:
    """Return a node's name, here and in the cloud."""
    return f'lab{number}'


def nova_conf(host: str, address: str) -> str:
    """Return nova.conf of a host, by the cloud's harness.

    :raises LabError: it fails.
    """
    done = subprocess.run(
        [sys.executable, str(TOP / 'tools/cloud'), 'node', host, address],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise LabError(f'tools/cloud node: {done.stdout}{done.stderr}')
    return done.stdout


def project(wheel: Path) -> Path:
    """Return what a wheel is in the nodes."""
    return staged(NOVA, wheel)


def seeded(number: int, wheel: Path) -> Node:
    """Return a node that will set itself up from a seed of cloud-init, and
    from nothing else.

    :param wheel: the project's.
    """
    host = name(number)
    place = folder() / f'{host}-seed'
    seed.write(place, host, nova_conf(host, '10.0.2.15'), wheel, CONFIG)
    hardware = Hardware(
        cell_mib=_HARDWARE.cell_mib, more=seed.disk(place), reaches_out=True
    )
    return Node(host, NOVA, hardware)


def _address(number: int) -> str:
    return f'192.168.50.{number}'


def _uuid(number: int, kind: int) -> str:
    return f'00000000-0000-4000-8000-000000000{kind}0{number}'


def _ini(config: dict[str, dict[str, Any]]) -> str:
    lines = []
    for group, options in config.items():
        lines.append(f'[{group}]')
        for option, value in options.items():
            values = value if isinstance(value, list) else [value]
            lines += [f'{option} = {_text(each)}' for each in values or ['']]
    return '\n'.join(lines) + '\n'


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ','.join(f'{key}:{each}' for key, each in value.items())
    return str(value).lower()
