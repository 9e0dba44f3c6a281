import os

import fixtures
import testtools

from kvm_tuning import conf
from kvm_tuning.conf import defaults, pci, placement
from kvm_tuning.core import cpuset
from kvm_tuning.core.exceptions import ConfigInvalid
from kvm_tuning.host import configuration
from tests.fixtures.fake_host import FakeHost

INVENTORY = FakeHost(
    cells=2, l3_per_cell=1, cores=4, threads=1, offline=(7,)
).inventory()


class ConfTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = self.useFixture(fixtures.TempDir()).path

    def write(self, text, name='c.conf'):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'wb') as file:
            file.write(text if isinstance(text, bytes) else text.encode())
        return path

    def load(self, text):
        return configuration.load(self.folder, [self.write(text)])

    def test_a_wrong_value_is_named_with_its_file_and_why(self):
        for text, said in (
            ('[ksm]\nrun = sideways\n', 'run = sideways: Valid values are '),
            ('[ksm]\nrun =\n', '[ksm] run = : Valid values are '),
            (
                '[compaction]\nproactiveness = 500\n',
                'proactiveness = 500: Should be less than or equal to 100',
            ),
            (
                '[cpu_isolation]\nirq_affinity = maybe\n',
                "irq_affinity = maybe: Unexpected boolean value 'maybe'",
            ),
            (
                '[defaults]\nknobs = nothing\n',
                'knobs = nothing: want a knob and its value',
            ),
            (
                '[sriov]\nallow = $x\n',
                '[sriov] allow = $x: no such option x in group [DEFAULT]; a $ '
                'itself is written $$',
            ),
        ):
            error = self.assertRaises(ConfigInvalid, self.load, text)
            self.assertIn(said, str(error))
            self.assertTrue(
                str(error).startswith(f'{self.folder}/c.conf: ['), error
            )
            self.assertNotIn('LocationInfo', str(error))

    def test_the_file_that_counts_is_named(self):
        path = f'{conf.DIRECTORY}/{conf.FILE}'
        self.write('[ksm]\nrun = off\n[thp]\n', path)
        for name, run in (('10-a', 'up'), ('20-b', 'down'), ('30-c', '')):
            text = f'[ksm]\nrun = {run}\n' if run else '[ksm]\n'
            self.write(text, f'{conf.DIRECTORY}/{conf.PARTS}/{name}.conf')
        error = self.assertRaises(
            ConfigInvalid, configuration.load, self.folder
        )
        self.assertIn('conf.d/20-b.conf: [ksm] run = down: ', str(error))

    def placement(self, text, cpusets=None):
        read = self.load(f'[placement]\n{text}\n')
        return placement.policy(read, INVENTORY, cpusets)

    def test_one_list_of_the_command_line_leaves_the_others_rest(self):
        text = 'dedicated_cpus = 0-3\nshared_cpus = 4-6'
        for given, dedicated, shared in (
            ({}, '0-3', '4-6'),
            ({placement.SHARED: '3-4'}, '0-2', '3-4'),
            ({placement.DEDICATED: '3-4'}, '3-4', '5-6'),
            (
                {placement.DEDICATED: '0', placement.SHARED: '6'},
                '0',
                '6',
            ),
        ):
            found = self.placement(text, given)
            self.assertEqual(
                (dedicated, shared),
                tuple(
                    cpuset.format(cpus)
                    for cpus in (found.dedicated_cpus, found.shared_cpus)
                ),
            )
        error = self.assertRaises(
            ConfigInvalid,
            self.placement,
            text,
            {placement.DEDICATED: '0-1', placement.SHARED: '1'},
        )
        self.assertIn(placement.SHARED, str(error))

    def refused(self, text):
        return str(
            self.assertRaises(ConfigInvalid, self.placement, text, None)
        )


class LoadTest(ConfTest):
    def test_nothing_written(self):
        read = configuration.load(self.folder)
        self.assertFalse(conf.written(read))
        self.assertIsNone(read.placement.dedicated_cpus)
        self.assertEqual('qemu:///system', read.libvirt.uri)

    def test_the_files_below_a_root(self):
        self.write(
            '[placement]\ndedicated_cpus = 1\nshared_cpus = 0\n',
            'etc/kvm-tuning/kvm-tuning.conf',
        )
        self.write(
            '[placement]\ndedicated_cpus = 2\n',
            'etc/kvm-tuning/conf.d/site.conf',
        )
        read = configuration.load(self.folder)
        self.assertTrue(conf.written(read))
        self.assertEqual('2', read.placement.dedicated_cpus)
        self.assertEqual('0', read.placement.shared_cpus)

    def test_files_of_the_caller_go_instead(self):
        self.write('[libvirt]\nuri = a\n', 'etc/kvm-tuning/kvm-tuning.conf')
        read = self.load('[placement]\npack_cells = no\n')
        self.assertEqual('qemu:///system', read.libvirt.uri)
        self.assertFalse(read.placement.pack_cells)

    def test_what_cannot_be_read(self):
        large = self.write(b'#' * (conf.MAX_BYTES + 1), 'large.conf')
        for path in (
            os.path.join(self.folder, 'absent.conf'),
            self.folder,
            large,
            self.write(b'\xff\xfe\x00', 'binary.conf'),
            self.write('no section\n', 'text.conf'),
            self.write('[placement]\npack_cells = perhaps\n', 'value.conf'),
        ):
            error = self.assertRaises(
                ConfigInvalid, configuration.load, self.folder, [path]
            )
            self.assertIn(path, str(error))

    def test_an_absent_directory(self):
        self.assertRaises(
            ConfigInvalid,
            configuration.load,
            self.folder,
            (),
            ['/no/such/place'],
        )

    def test_a_sample_of_its_own(self):
        self.load('[DEFAULT]\n\n[placement]\n# dedicated_cpus = <None>\n')

    def test_what_is_no_option(self):
        for text, hint in (
            ('[placement]\ndedicated_cpu = 1\n', 'dedicated_cpus'),
            ('[placment]\ndedicated_cpus = 1\n', 'placement'),
        ):
            error = self.assertRaises(ConfigInvalid, self.load, text)
            self.assertIn(f'did you mean {hint}?', str(error))

    def test_every_option_has_sentences_of_help(self):
        for _group, options in configuration.list_opts():
            for option in options:
                text = option.help.strip()
                self.assertGreater(len(text.split()), 5, option.name)
                self.assertEqual('.', text[-1], option.name)


class PolicyTest(ConfTest):
    def test_sets(self):
        policy = self.placement(
            'dedicated_cpus = 2-6,^3\nshared_cpus = 0-1\n'
            'reserved_huge_pages = node:0,size:2048,count:64\n'
            'reserved_huge_pages = node:1,size:1GB,count:1\n'
            'reserved_memory_mb = 512'
        )
        self.assertEqual({2, 4, 5, 6}, policy.dedicated_cpus)
        self.assertEqual({0, 1}, policy.shared_cpus)
        self.assertEqual(
            {(0, 2048): 64, (1, 1048576): 1}, dict(policy.reserved_pages)
        )
        self.assertEqual(512 * 1024, policy.reserved_memory_kib)

    def test_overlap(self):
        text = self.refused('dedicated_cpus = 2-4\nshared_cpus = 0-2')
        self.assertIn('share CPU 2', text)

    def test_offline(self):
        text = self.refused('dedicated_cpus = 2-9')
        self.assertIn('CPU 7-9', text)
        self.assertIn('online are 0-6', text)

    def test_no_list(self):
        for text in ('2-', 'two', '5-2', '^2'):
            self.assertIn(
                '[placement] dedicated_cpus',
                self.refused(f'dedicated_cpus = {text}'),
            )

    def test_reserved_pages_that_make_no_sense(self):
        for text in (
            'node:0,size:2048',
            'node:5,size:2048,count:1',
            'node:0,size:2048,count:-1',
            'node:0,size:huge,count:1',
            'node:0,size:2048,count:1\n'
            'reserved_huge_pages = node:0,size:2MB,count:1',
        ):
            self.assertIn(
                'reserved_huge_pages',
                self.refused(f'reserved_huge_pages = {text}'),
            )

    def test_a_command_line_goes_first(self):
        policy = self.placement(
            'dedicated_cpus = 2-6\nshared_cpus = 0-1',
            {'--dedicated-cpus': '1-3'},
        )
        self.assertEqual({1, 2, 3}, policy.dedicated_cpus)
        self.assertEqual({0}, policy.shared_cpus)


class DefaultsTest(ConfTest):
    def test_knobs(self):
        read = self.load(
            '[defaults]\n'
            'knobs = kvm:page_sharing=false\n'
            'knobs = kvm:disk_io = native\n'
        )
        self.assertEqual(
            {'kvm:page_sharing': 'false', 'kvm:disk_io': 'native'},
            defaults.knobs(read),
        )

    def test_no_value(self):
        error = self.assertRaises(
            ConfigInvalid, self.load, '[defaults]\nknobs = kvm:disk_io\n'
        )
        self.assertIn('kvm:disk_io=native', str(error))

    def test_two_values(self):
        read = self.load('[defaults]\nknobs = a:b=1\nknobs = a:b=2\n')
        self.assertRaises(ConfigInvalid, defaults.knobs, read)


class PciTest(ConfTest):
    GOOD = '{"name": "qat", "vendor_id": "8086", "product_id": "0443"}'

    def aliases(self, *texts):
        lines = ''.join(f'alias = {text}\n' for text in texts)
        return pci.aliases(self.load(f'[pci]\n{lines}'))

    def test_aliases(self):
        found = self.aliases(
            self.GOOD,
            '{"name": "vf", "vendor_id": "8086", "product_id": "10ca", '
            '"device_type": "type-VF", "numa_policy": "required"}',
        )
        self.assertEqual({'qat', 'vf'}, set(found))
        self.assertEqual('required', found['vf']['numa_policy'])

    def test_none(self):
        self.assertEqual({}, self.aliases())

    def test_a_line_of_nova_s(self):
        (alias,) = self.aliases(
            '{"name": "nic", "capability_type": "pci", "vendor_id": "8086", '
            '"product_id": "10ca", "live_migratable": "yes"}'
        ).values()
        self.assertEqual('8086', alias['vendor_id'])

    def test_what_makes_no_sense(self):
        for texts in (
            ['{'],
            ['[]'],
            ['{"vendor_id": "8086", "product_id": "0443"}'],
            ['{"name": "all"}'],
            [self.GOOD.replace('8086', '*')],
            [self.GOOD.replace('"8086"', '8086')],
            [self.GOOD.replace('vendor_id', 'vendor')],
            [self.GOOD.replace('}', ', "device_type": "PF"}')],
            [self.GOOD, self.GOOD],
        ):
            error = self.assertRaises(ConfigInvalid, self.aliases, *texts)
            self.assertIn('[pci] alias', str(error))
