"""A NoCloud seed of cloud-init, which makes a machine with Nova a compute
host of the cloud.
"""

import base64
import json
from pathlib import Path
import shutil
from typing import Any

from tools.cloud_lab.nova_image import VENV
from tools.lib.checkout import TOP

_MODULE = TOP / 'cc_kvm_tuning.py'
_FRAGMENT = f"""\
[Service]
ExecStartPre=/bin/sh -c '{VENV}/bin/kvm-tuning host fragment \
>/etc/nova/nova.conf.d/kvm-tuning.conf'
"""


def write(
    place: Path, host: str, nova_conf: str, wheel: Path, config: dict[str, Any]
) -> None:
    """Write the seed.

    :param wheel: the project's, which the machine installs
    :param config: of ``kvm-tuning.conf``, by group
    """
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    section = {
        'install': {'venv': VENV, 'requirement': f'/root/{wheel.name}'},
        'gate': ['nova-compute.service'],
        'config': config,
    }
    ours = {
        'kvm_tuning': section,
        'cloud_config_modules': [['kvm_tuning', 'always']],
    }
    files = {
        '/etc/nova/nova.conf': nova_conf,
        # What Nova is told of the host, whenever it starts; after the gate.
        '/etc/systemd/system/nova-compute.service.d/60-fragment.conf': (
            _FRAGMENT
        ),
        '/etc/cloud/cloud.cfg.d/50_kvm_tuning.cfg': json.dumps(ours),
        '/usr/lib/python3/dist-packages/cc_kvm_tuning.py': (
            _MODULE.read_text()
        ),
    }
    user_data = {
        'hostname': host,
        'bootcmd': [['systemctl', 'enable', 'nova-compute.service']],
        'write_files': [
            *({'path': path, 'content': text} for path, text in files.items()),
            {
                'path': f'/root/{wheel.name}',
                'encoding': 'b64',
                'content': base64.b64encode(wheel.read_bytes()).decode(),
            },
        ],
    }
    # JSON is YAML.
    (place / 'user-data').write_text(
        '#cloud-config\n' + json.dumps(user_data, indent=1) + '\n'
    )
    (place / 'meta-data').write_text(f'instance-id: {host}\n')


def disk(place: Path) -> tuple[str, ...]:
    """Return QEMU's arguments of a disk with the seed."""
    node = {
        'driver': 'vvfat',
        'node-name': 'seed',
        'dir': str(place),
        'label': 'CIDATA',
        'read-only': True,
    }
    return (
        *('-blockdev', json.dumps(node)),
        *('-device', 'virtio-blk-pci,bus=pcie.0,drive=seed,serial=seed'),
    )
