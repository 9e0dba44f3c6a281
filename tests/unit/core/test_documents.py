"""Flavor and image documents, as clients print them."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st
import testtools
from testtools.matchers import Contains, Equals, LessThan

from kvm_tuning.core import documents
from kvm_tuning.core.documents import Flavor, Image
from kvm_tuning.core.exceptions import InvalidDocument

SPECS = {'hw:cpu_policy': 'dedicated', 'kvm:iothreads': '2'}

GOLD = Flavor('gold', 'f00d', 4, 8192, 20, SPECS)

FLAVOR_JSON = """{
  "OS-FLV-DISABLED:disabled": false,
  "OS-FLV-EXT-DATA:ephemeral": 0,
  "access_project_ids": null,
  "description": null,
  "disk": 20,
  "id": "f00d",
  "name": "gold",
  "os-flavor-access:is_public": true,
  "properties": {
    "hw:cpu_policy": "dedicated",
    "kvm:iothreads": "2"
  },
  "ram": 8192,
  "rxtx_factor": 1.0,
  "swap": 0,
  "vcpus": 4
}"""

FLAVOR_YAML = """OS-FLV-DISABLED:disabled: false
OS-FLV-EXT-DATA:ephemeral: 0
access_project_ids: null
description: null
disk: 20
id: f00d
name: gold
os-flavor-access:is_public: true
properties:
  hw:cpu_policy: dedicated
  kvm:iothreads: '2'
ram: 8192
rxtx_factor: 1.0
swap: ''
vcpus: 4
"""

FLAVOR_OLD_JSON = """{"disk": 20, "id": "f00d", "name": "gold",
"properties": "hw:cpu_policy='dedicated', kvm:iothreads='2'",
"ram": 8192, "swap": "", "vcpus": 4}"""

FLAVOR_ROWS = json.dumps(
    [
        {'Field': name, 'Value': value}
        for name, value in json.loads(FLAVOR_OLD_JSON).items()
    ]
)

IMAGE_JSON = """{
  "checksum": "ba3cd24377dde5dfdd58728894004abb",
  "container_format": "bare",
  "disk_format": "qcow2",
  "id": "cafe",
  "min_disk": 5,
  "min_ram": 512,
  "name": "debian",
  "owner": null,
  "properties": {
    "hw_disk_bus": "scsi",
    "hw_qemu_guest_agent": true,
    "hw_video_ram": 16,
    "os_hidden": false,
    "os_hash_value": null,
    "stores": ["one", "two"]
  },
  "protected": false,
  "tags": [],
  "virtual_size": null
}"""

IMAGE_OLD_YAML = """id: cafe
name: debian
min_disk: 5
min_ram: 512
hw_disk_bus: scsi
hw_qemu_guest_agent: yes
trait:HW_CPU_HYPERTHREADING: required
architecture: x86_64
kernel_id: null
properties: hw_video_ram='16', os_type='linux'
"""


def minimal(**fields):
    return json.dumps({'name': 'a', 'vcpus': 1, 'ram': 512, **fields})


class TestFlavor(testtools.TestCase):
    def test_forms_of_all_clients(self):
        for text in (FLAVOR_JSON, FLAVOR_YAML, FLAVOR_OLD_JSON, FLAVOR_ROWS):
            found = documents.flavor(text, 'gold.json')
            self.assertThat(found, Equals(GOLD))

    def test_as_the_api_has_it(self):
        text = (
            '{"flavor": {"name": "x", "vcpus": 1, "ram": 1, '
            '"extra_specs": {"hw:cpu_policy": "shared"}}}'
        )
        found = documents.flavor(text, 'f')
        self.assertEqual({'hw:cpu_policy': 'shared'}, found.extra_specs)

    def test_properties_by_two_names(self):
        text = (
            'name: x\nvcpus: 1\nram: 1\nproperties: {a: b}\n'
            'extra_specs: {a: c}\n'
        )
        error = self.assertRaises(InvalidDocument, documents.flavor, text, 'f')
        self.assertIn('want one of them', str(error))

    def test_least_that_is_wanted(self):
        found = documents.flavor('name: 7\nvcpus: "2"\nram: 512', 'f')
        self.assertThat(found, Equals(Flavor('7', '', 2, 512, 0, {})))

    def test_values_become_text(self):
        found = documents.flavor(
            'name: a\nvcpus: 1\nram: 1\nproperties:\n'
            '  kvm:a: true\n  kvm:b: 1\n  kvm:c: off\n  kvm:d:\n  kvm:e: ""',
            'f',
        )
        self.assertThat(
            found.extra_specs,
            Equals(
                {
                    'kvm:a': 'true',
                    'kvm:b': '1',
                    'kvm:c': 'false',
                    'kvm:e': '',
                }
            ),
        )

    def test_properties_as_text(self):
        for text, wanted in (
            ('', {}),
            ("a='1'", {'a': '1'}),
            ("a='', b=' '", {'a': '', 'b': ' '}),
            (
                "hw:cpu_dedicated_mask='0-1,4', b='x'",
                {'hw:cpu_dedicated_mask': '0-1,4', 'b': 'x'},
            ),
            ("a='it's', b='c=d'", {'a': "it's", 'b': 'c=d'}),
            ("a='1',b='2'", {'a': '1', 'b': '2'}),
        ):
            found = documents.flavor(minimal(properties=text), 'f')
            self.assertThat(found.extra_specs, Equals(wanted), text)


class TestImage(testtools.TestCase):
    def test_new_client(self):
        self.assertThat(
            documents.image(IMAGE_JSON, 'i'),
            Equals(
                Image(
                    'debian',
                    'cafe',
                    {
                        'hw_disk_bus': 'scsi',
                        'hw_qemu_guest_agent': 'true',
                        'hw_video_ram': '16',
                        'os_hidden': 'false',
                        'stores': '["one", "two"]',
                    },
                    512,
                    5,
                )
            ),
        )

    def test_old_client(self):
        self.assertThat(
            documents.image(IMAGE_OLD_YAML, 'i').properties,
            Equals(
                {
                    'hw_disk_bus': 'scsi',
                    'hw_qemu_guest_agent': 'true',
                    'trait:HW_CPU_HYPERTHREADING': 'required',
                    'architecture': 'x86_64',
                    'hw_video_ram': '16',
                    'os_type': 'linux',
                }
            ),
        )

    def test_properties_outrank_fields_of_the_same_name(self):
        found = documents.image(
            'id: a\nos_type: linux\nproperties: {os_type: windows}', 'i'
        )
        self.assertThat(found.properties, Equals({'os_type': 'windows'}))

    def test_nameless_image_is_called_by_its_id(self):
        found = documents.image('name: null\nid: cafe', 'i')
        self.assertThat(found.name, Equals('cafe'))


BAD_FLAVORS = [
    ('', 'want one flavor, as openstack flavor show prints it'),
    ('[]', 'want one flavor'),
    ('[{"name": "a"}, {"name": "b"}]', 'want one flavor'),
    ('[{"Field": "a", "Value": 1}, {"Field": "a", "Value": 2}]', 'want one'),
    ('[{"Field": ["a"], "Value": 1}]', 'want one flavor'),
    ('just text', 'want one flavor'),
    ('vcpus: 1\nram: 1', 'it has no name'),
    ('name: ""\nvcpus: 1\nram: 1', 'it has no name'),
    ('name: a\nram: 1', 'it has no vcpus'),
    ('name: a\nvcpus: 1', 'it has no ram'),
    ('name: [a]', 'name=["a"]: want a text'),
    (minimal(vcpus=0), 'vcpus=0: want a whole number from 1 to 65536'),
    (minimal(vcpus=1.5), 'vcpus=1.5: want a whole number'),
    (minimal(vcpus=True), 'vcpus=true: want a whole number'),
    (minimal(vcpus=[4]), 'vcpus=["4"]: want a whole number'),
    (minimal(vcpus=65537), 'vcpus=65537: want a whole number from 1 to'),
    (minimal(vcpus='\u0664'), 'vcpus=\u0664: want a whole number'),
    (minimal(ram=-1), 'ram=-1: want a whole number from 1 to 2147483647'),
    (minimal(ram='9' * 5000), 'want a whole number from 1'),
    (minimal(disk='x'), 'disk=x: want a whole number from 0'),
    (minimal(properties=['a']), 'properties=["a"]: want a mapping'),
    (minimal(properties='a=1'), "properties=a=1: want a mapping, or key='"),
    (minimal(properties="a='1"), "want a mapping, or key='value'"),
    (minimal(properties="a='1', a='2'"), 'the property a appears twice'),
    (minimal(properties={'a': {'b': 1}}), 'a={"b": "1"}: want a text'),
    (minimal(properties={'a': 'x' * 256}), 'want at most 255 characters'),
    (minimal(properties={'a' * 256: 'x'}), 'want at most 255 characters'),
    (minimal(properties={'a': '\x00'}), "a='\\x00': want no control char"),
    (minimal(properties={'\x1b': 'a'}), "the key='\\x1b': want no control"),
    (minimal(name='a\x07'), "name='a\\x07': want no control characters"),
    (minimal(name='a' * 256), 'want at most 255 characters'),
    (
        minimal(properties={str(n): 'x' for n in range(1025)}),
        '1025 properties: want at most 1024',
    ),
    ('name: a\nname: b', "the key 'name' appears twice in line 2"),
    ('{"name": "a"', 'not JSON: '),
    ('a: &b c\nd: *b', 'an alias, *b in line 2'),
]

BAD_IMAGES = [
    ('a: b', 'it has no name'),
    (FLAVOR_JSON, 'it has vcpus, as a flavor does: want an image'),
    ('id: a\nmin_ram: x', 'min_ram=x: want a whole number from 0'),
    ('id: a\nhw_x: "' + 'x' * 65_536 + '"', 'want at most 65535 characters'),
    ('id: a\nproperties: 1', "properties=1: want a mapping, or key='value'"),
]

ODD = st.recursive(
    st.text(max_size=10) | st.integers() | st.booleans() | st.none(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = st.sampled_from(
    ('name', 'id', 'vcpus', 'ram', 'disk', 'properties', 'min_ram', 'hw_a')
)


class TestBadDocuments(testtools.TestCase):
    def check(self, read, rows):
        for text, wanted in rows:
            found = self.assertRaises(
                InvalidDocument, read, text, '/etc/bad.yaml'
            )
            self.assertThat(str(found), Contains(' of /etc/bad.yaml: '))
            self.assertThat(str(found), Contains(wanted))
            self.assertThat(len(str(found)), LessThan(300))

    def test_flavors(self):
        self.check(documents.flavor, BAD_FLAVORS)

    def test_images(self):
        self.check(documents.image, BAD_IMAGES)

    @settings(deadline=None)
    @given(st.text() | st.dictionaries(FIELDS, ODD).map(json.dumps))
    def test_value_or_our_error(self, text):
        for read in (documents.flavor, documents.image):
            try:
                found = read(text, 'here')
            except InvalidDocument:
                continue
            self.assertThat(bool(found.name), Equals(True))

    @settings(deadline=None)
    @given(
        st.dictionaries(
            st.text('abc:_.0', min_size=1, max_size=8),
            st.text(st.characters(min_codepoint=32, max_codepoint=126)).filter(
                lambda text: "'" not in text
            ),
        )
    )
    def test_properties_mean_the_same_in_both_forms(self, specs):
        text = ', '.join(f"{key}='{specs[key]}'" for key in sorted(specs))
        old = documents.flavor(minimal(properties=text), 'f')
        new = documents.flavor(minimal(properties=specs), 'f')
        self.assertThat(old, Equals(new))
