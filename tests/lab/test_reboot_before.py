"""What is to be there after the reboot of this node."""

import json
from pathlib import Path

from tests.lab.host_prep import HostPrepTest, attributes, files

#: Where the state before all of it is kept over the reboot.
BEFORE = Path('/var/lib/kvm-tuning-lab/before.json')
_ETC = '/opt/kvm-tuning/etc/kvm_tuning'


def state():
    """Return what undo must bring back, as JSON has it."""
    kept = {
        name: [content.decode(), *map(str, more)]
        for name, (content, *more) in files().items()
    }
    return {'files': kept, 'attributes': attributes()}


class BeforeTest(HostPrepTest):
    def test_apply(self):
        self.shell(
            f'cp {_ETC}/systemd/kvm-tuning-host-prep.service '
            f'/etc/systemd/system/ && '
            f'systemctl enable kvm-tuning-host-prep.service'
        )
        BEFORE.write_text(json.dumps(state()))
        self.configure()
        self.host('apply')
        self.assert_all_is_as_configured()
        self.shell('sync')
