"""CPUAffinity= of systemd, in the order in which systemd reads its files."""

import os

import fixtures
import testtools
from testtools.matchers import Contains, Equals, Not

from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.prep.boot import systemd_conf
from tests.fixtures import booted_host, killed, plain_user

_DROP_INS = 'etc/systemd/system.conf.d'
_ISOLATION = """
[cpu_isolation]
housekeeping_cpus = 0,4
isolate_by =
irq_affinity = false
"""


class ConfTest(testtools.TestCase):
    def host(self):
        root = self.useFixture(fixtures.TempDir(killed.SCRATCH)).path
        host = booted_host.BootedHost(root, _ISOLATION)
        host.put('proc/1/status', 'Name:\tsystemd\nCpus_allowed_list:\t0,4')
        return host


class TestAffinity(ConfTest):
    def test_a_drop_in_after_ours_is_refused(self):
        for path, text, cpus in (
            (f'{_DROP_INS}/zz.conf', 'CPUAffinity=1', '0-1,4'),
            (f'{_DROP_INS}/zz.conf', 'CPUAffinity=\nCPUAffinity=2 3', '2-3'),
            ('run/systemd/system.conf.d/zz.conf', 'CPUAffinity=', 'no list'),
            ('usr/lib/systemd/system.conf.d/l.conf', 'CPUAffinity=1,', '0-1'),
            (f'{_DROP_INS}/l.conf', 'CPUAffinity=1 \\\n 2', '0-2,4'),
        ):
            host = self.host()
            host.put(path, f'[Manager]\n{text}')
            self.assertThat(
                host.refusals(),
                Contains(f'/{path}: systemd reads it after our drop-in'),
            )
            self.assertThat(host.refusals(), Contains(f'leads to {cpus}'))
            self.assertThat(''.join(host.ready()), Contains(path))

    def test_what_changes_nothing_is_fine(self):
        for path, text in (
            (f'{_DROP_INS}/50-site.conf', '[Manager]\nCPUAffinity=1'),
            (f'{_DROP_INS}/zz.conf', '[Manager]\n#CPUAffinity=1'),
            (f'{_DROP_INS}/zz.conf', '[Other]\nCPUAffinity=1'),
            (f'{_DROP_INS}/zz.conf', '[Manager]\nCPUAffinity=4'),
            (f'{_DROP_INS}/zz.conf', '[Manager]\nNUMAPolicy=bind'),
            (f'{_DROP_INS}/zz.conf.bak', '[Manager]\nCPUAffinity=1'),
            ('etc/systemd/system.conf', '[Manager]\nCPUAffinity=1'),
        ):
            host = self.host()
            host.put(path, text)
            self.assertThat(host.refusals(), Equals(''), path)
            self.assertThat(host.apply().failed, Equals([]))
            self.assertThat(host.ready(), Equals(()))

    def test_one_that_a_mask_hides_does_not_count(self):
        host = self.host()
        host.put('usr/lib/systemd/system.conf.d/z.conf',
                 '[Manager]\nCPUAffinity=1')  # fmt: skip
        self.assertThat(host.refusals(), Not(Equals('')))
        os.makedirs(f'{host.root}/{_DROP_INS}', exist_ok=True)
        os.makedirs(f'{host.root}/dev', exist_ok=True)
        os.symlink('/dev/null', f'{host.root}/{_DROP_INS}/z.conf')
        self.assertThat(host.refusals(), Equals(''))

    def test_one_that_cannot_be_read_has_a_row_and_stops_nothing(self):
        host = self.host()
        host.apply()
        host.put(f'{_DROP_INS}/zz.conf', '[Manager]\nCPUAffinity=1')
        plain_user.hide(f'{host.root}/{_DROP_INS}/zz.conf')
        found = plain_user.answer(host.root, host.ready)
        self.assertThat(found[0], Contains('systemd CPUAffinity cannot be'))


class TestFiles(ConfTest):
    def test_the_first_main_file_and_then_names_in_order(self):
        host = self.host()
        for path in (
            'usr/lib/systemd/system.conf',
            'run/systemd/system.conf',
            'usr/lib/systemd/system.conf.d/b.conf',
            f'{_DROP_INS}/b.conf',
            'run/systemd/system.conf.d/a.conf',
        ):
            host.put(path, '')
        self.assertThat(
            systemd_conf.files(Tree(host.root)),
            Equals(
                [
                    'run/systemd/system.conf',
                    'run/systemd/system.conf.d/a.conf',
                    f'{_DROP_INS}/b.conf',
                ]
            ),
        )
