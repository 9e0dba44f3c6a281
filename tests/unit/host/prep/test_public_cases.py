"""The public cases of ``KVM_TUNING_CASES``: today's answer to each of those
that a boot loader is about. Without the variable nothing runs; the same
situations, from fixtures, are in ``boot/``.
"""

import os
import tarfile

import fixtures
import testtools
from testtools.matchers import Contains, Equals, Is, Not

from kvm_tuning.host import configuration, ready
from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep import journal, status
from kvm_tuning.host.prep.kinds import table
from tests.fixtures import killed, plain_user, prepared, whole_host
from tests.fixtures.fake_kernel import FakeKernel

_CASES = os.environ.get('KVM_TUNING_CASES', '')
_PLANNED = {
    '02-proxmox-boot-tool': 'then runs proxmox-boot-tool refresh',
    '06-grub-cloudimg-overwrites': 'kvm-tuning.cfg',
    '07-grub-not-utf8': 'kvm-tuning.cfg',
    '17-bls-other-system': 'aaaa-6.12.0.conf',
    '18-kernel-cmdline-comment': 'quiet intel_iommu=on iommu=pt\n# iommu=soft',
    '19-esp-beside-grub': 'boot/efi/loader/entries/abc-6.1.0.conf',
    '27-grub-without-default': 'kvm-tuning.cfg',
    '34-ubuntu-dropins': 'kvm-tuning.cfg',
    '35-grub2-mkconfig': 'grub2-mkconfig -o /boot/grub2/grub.cfg',
}
_REFUSED = {
    '01-hugepagesz-twice': 'takes only the first count of a size',
    '03-ostree-loader-link': 'rpm-ostree kargs',
    '04-bls-kernelopts': '$kernelopts of grubenv sets isolcpus=1-3',
    '08-grub-dropin-after': 'zz-serial.cfg: it sets',
    '32-tuned-bootcmdline': 'TuneD ($tuned_params) sets isolcpus',
}


class CaseTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        if not os.path.isdir(f'{_CASES}/host'):
            self.skipTest('KVM_TUNING_CASES names no cases')

    def kernel(self, name):
        folder = self.useFixture(fixtures.TempDir(killed.SCRATCH)).path
        with tarfile.open(f'{_CASES}/host/{name}/tree.tar.gz') as archive:
            # Debian 12's Python has no argument for it (PEP 706).
            archive.extraction_filter = getattr(tarfile, 'tar_filter', None)
            archive.extractall(folder)
        return FakeKernel(f'{folder}/tree')

    def plan(self, kernel):
        return prepared.plan(kernel, whole_host.items(kernel.root))

    def rows(self, kernel):
        host = Host(Tree(kernel.root))
        record = journal.load(host.tree)
        items = whole_host.items(kernel.root)
        return status.rows(host, table.KINDS, record, items)

    def ready(self, kernel):
        return ready.check(kernel.root, configuration.load(kernel.root))

    def test_what_is_planned_can_be_applied(self):
        for name, words in _PLANNED.items():
            kernel = self.kernel(name)
            made = self.plan(kernel)
            self.assertThat(made.refusals, Equals(()), name)
            text = '\n'.join(
                f'{c.goal.setting.name} {c.goal.setting.value} {c.goal.reason}'
                for c in made.changes
            )
            self.assertThat(text, Contains(words), name)
            self.assertThat(self.ready(kernel), Not(Equals(())), name)
            done = prepared.apply(kernel, whole_host.items(kernel.root))
            self.assertThat(done.failed, Equals([]), name)
            self.assertThat(self.plan(kernel).changes, Equals(()), name)

    def test_what_would_not_count_is_refused(self):
        for name, words in _REFUSED.items():
            kernel = self.kernel(name)
            text = '\n'.join(map(str, self.plan(kernel).refusals))
            self.assertThat(text, Contains(words), name)
            self.assertThat(self.ready(kernel), Not(Equals(())), name)
            done = prepared.apply(kernel, whole_host.items(kernel.root))
            self.assertThat(done.changed, Equals([]), name)

    def test_a_kernel_that_ignores_it(self):
        kernel = self.kernel('15-nohz-full-not-built')
        (row,) = self.rows(kernel)
        self.assertThat(row.drifted, Is(True))
        self.assertThat(row.running, Not(Equals('given')))
        notes = '\n'.join(map(str, self.plan(kernel).notes))
        self.assertThat(notes, Contains('CONFIG_NO_HZ_FULL'))
        self.assertThat(self.ready(kernel), Not(Equals(())))

    def test_what_only_root_may_read(self):
        kernel = self.kernel('33-grub-cfg-0600')
        os.chmod(os.path.dirname(kernel.root), 0o755)
        plain_user.hide(f'{kernel.root}/boot/grub/grub.cfg')
        made, rows, reasons = plain_user.answer(
            kernel.root,
            lambda: (
                len(self.plan(kernel).unseen),
                [row.state for row in self.rows(kernel)],
                self.ready(kernel),
            ),
        )
        self.assertThat((made, rows), Equals((1, ['unseen'])))
        self.assertThat(reasons[0], Contains('Permission denied'))
