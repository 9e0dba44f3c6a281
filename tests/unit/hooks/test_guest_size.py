"""How many vCPUs and how much memory a guest gets, and who is told."""

import testtools

from kvm_tuning import loader
from kvm_tuning.core import domain, plan, request
from kvm_tuning.core.demands import CellDemand
from kvm_tuning.core.documents import Flavor
from kvm_tuning.core.exceptions import ConflictingKnobs, Unsupported
from kvm_tuning.core.site import Capabilities, Site
from kvm_tuning.hooks import numa_cells
from tests.fixtures import domain_store
from tests.fixtures.fake_host import FakeHost

HOST = FakeHost(cells=1).inventory()
EIM = "<iommu model='intel'><driver intremap='on' eim='{}'/></iommu>"


class GuestSizeTest(testtools.TestCase):
    def plan(self, vcpus, ram=256, device='', libvirt=None, own=2, cells=''):
        xml = domain_store.xml('g', own).replace(
            '</devices>', f'{device}</devices>{cells}'
        )
        hooks = loader.load()
        asked = request.read(
            Flavor('f', '1', vcpus, ram, 0, {'kvm:page_sharing': 'false'}),
            None,
            loader.knobs(hooks),
        )
        site = Site(HOST, capabilities=Capabilities(libvirt=libvirt))
        which = domain.read(xml)
        made = plan.make(hooks, asked, which.guest, site)
        return made, domain.read(domain.tune(which, made)).current

    def test_interrupts_of_many_vcpus(self):
        self.assertEqual(255, self.plan(255)[1].vcpus)
        for device, libvirt in (
            ('', None),
            ('', (10, 9, 9)),
            (EIM.format('off'), None),
        ):
            error = self.assertRaises(
                Unsupported, self.plan, 256, 256, device, libvirt
            )
            self.assertIn('more than 255', str(error))
        for device, libvirt in (('', (10, 10, 0)), (EIM.format('on'), None)):
            found = self.plan(256, device=device, libvirt=libvirt)[1]
            self.assertEqual(256, found.vcpus)

    def test_the_operator_is_told(self):
        made, found = self.plan(3, ram=512)
        self.assertEqual((3, 512 << 10), (found.vcpus, found.memory_kib))
        self.assertEqual(
            [
                ('operator', 'the guest will have 3 vCPUs instead of 2'),
                (
                    'operator',
                    'the guest will have 512 MiB of memory instead of 256',
                ),
            ],
            [
                (each.audience, each.text)
                for each in made.consequences
                if each.code == 'resized'
            ],
        )

    def test_nothing_is_resized(self):
        made = self.plan(2)[0]
        self.assertNotIn('resized', [each.code for each in made.consequences])

    def test_cells_that_nobody_asks_for(self):
        cells = (
            "<cpu><numa><cell id='0' cpus='0-1' memory='256' unit='MiB'/>"
            '</numa></cpu>'
        )
        self.assertEqual(2, self.plan(2, cells=cells)[1].vcpus)
        for vcpus, ram, said in ((3, 256, '3 vCPUs'), (2, 300, '300 MiB')):
            error = self.assertRaises(
                ConflictingKnobs, self.plan, vcpus, ram, cells=cells
            )
            self.assertIn(said, str(error))


class OneCellTest(testtools.TestCase):
    def test_a_guest_without_cells_is_one_whole_cell(self):
        asked = request.read(
            Flavor('f', '1', 3, 256, 0, {}), None, loader.knobs(loader.load())
        )
        found = domain.read(domain_store.xml('g', 3)).current
        (demand,) = numa_cells.NumaCells().demands(asked, found)
        self.assertEqual(
            CellDemand(
                0, frozenset({0, 1, 2}), frozenset(), 256 << 10, whole=True
            ),
            demand,
        )
