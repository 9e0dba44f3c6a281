"""Generated configurations of other programs, and those programs as judges.

What they say of a configuration is compared with what our readers say. A
judge that is not installed, or that needs root, skips its test.
"""

import os
from pathlib import Path
import random
import shutil

import fixtures
import testtools

from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.groups.sriov.identity import Port
from tests.fixtures import memory_dir

#: How many configurations each judge sees.
COUNT = int(os.environ.get('KVM_TUNING_JUDGED', '1000'))
#: The same ones each time.
SEED = 20261130

MACS = tuple(f'52:54:00:00:00:{number:02x}' for number in range(4))


def port(name: str, mac: str, driver: str = 'igb') -> Port:
    """Return a port as others may know it."""
    return Port(
        '0000:11:00.0',
        name,
        mac,
        driver,
        mac,
        properties=(('INTERFACE', name), ('ID_PATH', 'pci-0000:11:00.0')),
        complete=True,
    )


class JudgeTest(testtools.TestCase):
    #: The programs that it takes.
    programs: tuple[str, ...] = ()
    #: Whether it takes root, for a network namespace of its own.
    root_only = False

    def setUp(self) -> None:
        super().setUp()
        for program in self.programs:
            if shutil.which(program) is None:
                self.skipTest(f'{program} is not installed')
        if self.root_only and os.geteuid() != 0:
            self.skipTest('needs root')
        self.random = random.Random(SEED)
        self.home = Path(
            self.useFixture(fixtures.TempDir(memory_dir.place())).path
        )

    def put(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def host(self, root: Path) -> Host:
        return Host(Tree(str(root)))

    def some(self, *values: str) -> str:
        return self.random.choice(values)

    def maybe(self, text: str, chance: float = 0.5) -> str:
        return text if self.random.random() < chance else ''
