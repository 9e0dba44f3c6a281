"""Every machine of hwloc's own tests, as hwloc itself reads it.

``KVM_TUNING_HWLOC_TESTS`` names a directory of hwloc's source,
``tests/hwloc/linux``: /sys and /proc of machines, as NAME.tar.bz2.
"""

import os
from pathlib import Path
import shutil
import tarfile
import unittest

import fixtures
import testtools
from testtools.matchers import Contains, Equals

from kvm_tuning.cmd import topology_report
from kvm_tuning.host.inventory import reader
from tests.fixtures import host_dumps, memory_dir
from tests.hwloc import lstopo

ENVIRONMENT = 'KVM_TUNING_HWLOC_TESTS'
#: Written or edited by hand, so that files contradict each other: they are
#: read, and need not be read alike.
_EDITED = ('fake', 'buggynuma', 'conflicts')
_SETS = ('packages', 'cores', 'l3')


class TestCollection(testtools.TestCase):
    def check(self, archive: Path) -> None:
        root = self.useFixture(fixtures.TempDir(memory_dir.place())).path
        with tarfile.open(archive) as opened:
            host_dumps.unpack(opened, root)
        found = topology_report.summary(reader.read(root))
        if any(word in archive.name for word in _EDITED):
            self.assertThat(found['cpus'], Contains(min(found['cpus'])))
            return
        wanted = lstopo.summary(root)
        self.assertThat(found['cpus'], Equals(wanted['cpus']))
        for key in _SETS:
            # Without files about them hwloc shows none, and each CPU or the
            # host is one.
            if wanted[key]:
                self.assertThat(len(found[key]), Equals(len(wanted[key])))
                self.assertThat(found[key], Equals(wanted[key]), key)
        self.assertThat(found['numa'], Equals(self.cells(found, wanted)))

    def cells(self, found, wanted):
        """Return hwloc's cells. It gives cells with memory alone the CPUs
        that are near, and the kernel gives them none.
        """
        return {
            number: {
                **cell,
                'cpus': cell['cpus'] if found['numa'][number]['cpus'] else [],
            }
            for number, cell in wanted['numa'].items()
        }

    def test_there_are_some(self) -> None:
        self.assertThat(len(_archives()) > 0, Equals(True))


def _archives() -> list[Path]:
    home = os.environ.get(ENVIRONMENT, '')
    return sorted(Path(home).glob('*.tar.bz2')) if home else []


def _test(archive: Path):
    return lambda self: self.check(archive)


for _archive in _archives():
    _name = _archive.name.removesuffix('.tar.bz2')
    setattr(TestCollection, f'test_{_name}', _test(_archive))


def load_tests(
    loader: unittest.TestLoader, tests: unittest.TestSuite, pattern: str
) -> unittest.TestSuite:
    """Leave the tests out where the collection or lstopo is not there."""
    if os.environ.get(ENVIRONMENT) and shutil.which(lstopo.PROGRAM):
        return tests
    return unittest.TestSuite()
