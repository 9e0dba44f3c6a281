"""Image properties, typed as Nova types them."""

from pathlib import Path

import testtools
from testtools.matchers import Contains, Equals, HasLength, Is, LessThan
import yaml

from kvm_tuning.core.exceptions import InvalidValue
from kvm_tuning.core.nova import image_properties

NOVA = (
    Path(__file__).parents[3]
    / 'fixtures/recordings/nova_image_properties.yaml'
)

GOOD = [
    ({'hw_vif_model': 'VirtualE1000'}, {'hw_vif_model': 'e1000'}),
    ({'hw_disk_bus': 'virtio'}, {'hw_disk_bus': 'virtio'}),
    ({'hw_architecture': 'AMD64'}, {'hw_architecture': 'x86_64'}),
    (
        {'hw_emulation_architecture': 'i386'},
        {'hw_emulation_architecture': 'i686'},
    ),
    ({'hw_vm_mode': 'PV'}, {'hw_vm_mode': 'xen'}),
    ({'hw_video_ram': ' 16 '}, {'hw_video_ram': 16}),
    ({'hw_pmu': 'Yes'}, {'hw_pmu': True}),
    ({'hw_pmu': 'whatever'}, {'hw_pmu': False}),
    ({'os_distro': ''}, {'os_distro': ''}),
    (
        {'img_hv_requested_version': '>=2.6, <3.0rc1'},
        {'img_hv_requested_version': '>=2.6, <3.0rc1'},
    ),
    ({'architecture': 'i586'}, {'hw_architecture': 'i686'}),
    ({'vm_mode': 'pv', 'hw_vm_mode': 'hvm'}, {'hw_vm_mode': 'hvm'}),
    ({'hw_vm_mode': 'hvm', 'vm_mode': 'pv'}, {'hw_vm_mode': 'hvm'}),
    ({'vmware_adaptertype': 'ide'}, {'hw_disk_bus': 'ide'}),
    (
        {'vmware_adaptertype': 'lsiLogicsas'},
        {'hw_disk_bus': 'scsi', 'hw_scsi_model': 'lsisas1068'},
    ),
    ({'vmware_adaptertype': ''}, {}),
    ({'unknown': 'x', 'hw_unknown': 'y'}, {}),
    ({'img_block_device_mapping': '[]', 'mappings': '[]'}, {}),
]

BAD = [
    ({'hw_disk_bus': 'Virtio'}, 'hw_disk_bus=Virtio (image property): want '),
    ({'hw_vif_model': 'ne2000'}, 'want virtio, e1000, e1000e, igb, rtl8139'),
    ({'hw_video_ram': '1.5'}, 'hw_video_ram=1.5 (image property): want a wh'),
    ({'os_type': ''}, "os_type='' (image property): want linux, windows"),
    ({'architecture': 'vax'}, 'architecture=vax (image property): want x86'),
    ({'vmware_adaptertype': 'nvme'}, 'vmware_adaptertype=nvme (image prop'),
    ({'hw_numa_cpus.0': '0-'}, 'hw_numa_cpus.0=0- (image property): want a'),
    ({'hw_numa_mem.0': ''}, "hw_numa_mem.0='' (image property): want a who"),
    ({'img_hv_requested_version': '2.6'}, 'want versions such as >=2.6,<3'),
    ({'img_hv_requested_version': '>=x'}, 'want versions such as >=2.6,<3'),
]


class TestRead(testtools.TestCase):
    def test_good(self):
        for properties, wanted in GOOD:
            found = image_properties.read(properties)
            self.assertThat(found.values, Equals(wanted), properties)

    def test_bad(self):
        for properties, wanted in BAD:
            found = self.assertRaises(
                InvalidValue, image_properties.read, properties
            )
            self.assertThat(str(found), Contains(wanted))

    def test_cells_count_from_0_to_the_first_gap(self):
        found = image_properties.read(
            {
                'hw_numa_cpus.0': '0-1',
                'hw_numa_cpus.1': '2',
                'hw_numa_cpus.3': 'not read',
                'hw_numa_mem.1': 'not read',
            }
        )
        self.assertThat(found.numa_cpus, HasLength(2))
        self.assertThat(found.numa_mem, Is(None))

    def test_cells_are_bounded(self):
        properties = {f'hw_numa_mem.{n}': '1' for n in range(200)}
        found = image_properties.read(properties)
        self.assertThat(found.numa_mem, HasLength(128))

    def test_required_traits(self):
        found = image_properties.read(
            {'trait:A': 'required', 'trait:B': 'forbidden', 'c': 'required'}
        )
        self.assertThat(found.traits, Equals({'A'}))

    def test_number_of_properties_is_bounded(self):
        properties = {f'p{n}': 'x' for n in range(1025)}
        self.assertRaises(InvalidValue, image_properties.read, properties)
        del properties['p0']
        image_properties.read(properties)

    def test_message_is_one_short_line(self):
        found = self.assertRaises(
            InvalidValue,
            image_properties.read,
            {'os_type': 'x\n' * 10_000},
            "image 'a'",
        )
        self.assertThat(len(str(found)), LessThan(200))
        self.assertThat(str(found).splitlines(), HasLength(1))
        self.assertThat(str(found), Contains("(image 'a')"))


class NovaTest(testtools.TestCase):
    """Each property that Nova has, by the types of Nova's own classes."""

    SAMPLES = {
        'FlexibleBooleanField': [('on', True), ('off', False)],
        'IntegerField': [('7', 7)],
        'StringField': [('any', 'any')],
        'UUIDField': [('any', 'any')],
        'VersionPredicateField': [('>=2', '>=2')],
    }

    def setUp(self):
        super().setUp()
        self.nova = yaml.safe_load(NOVA.read_text())

    def value(self, name, text, new=None):
        return image_properties.read({name: text}).values.get(new or name)

    def test_every_property_and_word(self):
        for name, field in self.nova['fields'].items():
            words = [(word, word) for word in field.get('words', ())]
            for text, value in words or self.SAMPLES.get(field['type'], ()):
                self.assertEqual(value, self.value(name, text), name)
            if words:
                self.assertRaises(
                    InvalidValue, self.value, name, f'{words[0][0]}x'
                )

    def test_numbers_are_numbers(self):
        for name, field in self.nova['fields'].items():
            if field['type'] == 'IntegerField':
                self.assertRaises(InvalidValue, self.value, name, 'seven')

    def test_every_old_name(self):
        left_out = {'block_device_mapping', 'mappings'}
        old = self.nova['old']
        self.assertEqual(
            {key: new for key, new in old.items() if key not in left_out},
            dict(image_properties.OLD_NAMES),
        )
        for key, new in image_properties.OLD_NAMES.items():
            field = self.nova['fields'][new]
            ((text, value), *_more) = [
                (word, word) for word in field.get('words', ())
            ] or self.SAMPLES[field['type']]
            self.assertEqual(value, self.value(key, text, new), key)
