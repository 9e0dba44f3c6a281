"""What is read of Nova's flavor and image objects."""

from unittest import SkipTest

import testtools

try:
    from nova import objects
except ImportError as exc:
    if exc.name != 'nova':
        raise
    raise SkipTest('needs Nova') from exc

from kvm_tuning.adapters.nova.compute import request
from kvm_tuning.core.exceptions import ConflictingKnobs


def flavor(**specs):
    return objects.Flavor(
        name='f',
        flavorid='1',
        vcpus=2,
        memory_mb=512,
        extra_specs={k.replace('__', ':'): v for k, v in specs.items()},
    )


class ReaderTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        objects.register_all()
        self.reader = request.reader({}, {})

    def test_all_that_is_set_in_an_image_is_read(self):
        image = objects.ImageMeta.from_dict({
            'name': 'i',
            'properties': {
                'hw_vif_model': 'virtio',
                'hw_numa_nodes': '1',
                'hw_cpu_policy': 'dedicated',
                'trait:HW_CPU_X86_AVX2': 'required',
            },
        })  # fmt: skip
        properties = image.properties
        wanted = {
            name: getattr(properties, name)
            for name in properties.fields
            if properties.obj_attr_is_set(name)
        }
        self.assertEqual(wanted, dict(request._held(properties)))
        read = self.reader.read(flavor(kvm__iothreads='1'), image).request
        self.assertEqual('virtio', read.value('hw_vif_model'))
        self.assertEqual('dedicated', read.value('hw:cpu_policy'))

    def test_vfs_are_novas_to_give(self):
        alias = {'pci_passthrough:alias': 'kvm-tuning-vf:1'}
        specs = {'kvm:vfs': '1', 'kvm:vf_trust': 'true', **alias}
        read = self.reader.read(flavor(**specs), None).request
        self.assertIs(True, read.value('kvm:vf_trust'))
        for wrong, words in (
            ({'kvm:vfs': '1'}, ('kvm-tuning flavor compile',)),
            ({'kvm:vf_trust': 'true', **alias}, ('kvm:vfs', 'Neutron')),
            ({**specs, 'kvm:vf_attachment': 'macvtap'}, ('the VF itself',)),
        ):
            error = self.assertRaises(
                ConflictingKnobs, self.reader.read, flavor(**wrong), None
            )
            for word in words:
                self.assertIn(word, str(error))

    def test_a_request_is_read_once_for_what_is_alike(self):
        def read(iothreads, model):
            image = objects.ImageMeta.from_dict(
                {'properties': {'hw_vif_model': model}}
            )
            return self.reader.read(flavor(kvm__iothreads=iothreads), image)

        first = read('1', 'virtio')
        self.assertIs(first, read('1', 'virtio'))
        self.assertEqual(2, read('2', 'virtio').request.value('kvm:iothreads'))
        self.assertEqual(
            'e1000', read('1', 'e1000').request.value('hw_vif_model')
        )
