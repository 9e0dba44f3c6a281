"""Each limit of a domain is kept at its number and not before."""

from lxml import etree
import testtools

from kvm_tuning.core.definition import limits
from kvm_tuning.core.exceptions import InvalidDocument

MOST = {
    'devices/disk': 16384,
    'devices/interface': 4096,
    'devices/hostdev': 4096,
    'devices/controller': 16384,
    'cputune/vcpupin': 16384,
    'cputune/iothreadpin': 4096,
    'iothreadids/iothread': 4096,
    'cpu/numa/cell': 1024,
    'numatune/memnode': 1024,
    'memoryBacking/hugepages/page': 1024,
}
SINGLE = (
    'vcpu', 'iothreads', 'iothreadids', 'cputune', 'numatune',
    'memoryBacking', 'cpu', 'os', 'metadata', 'devices', 'memory',
    'currentMemory', 'cputune/emulatorpin', 'numatune/memory', 'cpu/topology',
    'cpu/numa', 'cpu/cache', 'memoryBacking/hugepages',
)  # fmt: skip
KEYED = {
    'cputune/vcpupin': 'vcpu',
    'cputune/iothreadpin': 'iothread',
    'numatune/memnode': 'cellid',
    'cpu/numa/cell': 'id',
    'iothreadids/iothread': 'id',
}


def domain(path, elements):
    """Return a domain with elements at the end of a path."""
    text = elements
    for name in reversed(path.split('/')[:-1]):
        text = f'<{name}>{text}</{name}>'
    return etree.fromstring(f'<domain>{text}</domain>')


class LimitsTest(testtools.TestCase):
    def refused(self, root, *words):
        error = self.assertRaises(InvalidDocument, limits.check, root)
        for word in words:
            self.assertIn(word, str(error))

    def test_elements(self):
        for path, most in MOST.items():
            tag = path.rpartition('/')[2]
            for attribute in ('', " index='1'"):
                one = f'<{tag}{attribute}/>'
                if tag == 'controller' and not attribute:
                    # Those without an index are fewer: below.
                    continue
                limits.check(domain(path, one * most))
                self.refused(
                    domain(path, one * (most + 1)), path, f'at most {most} '
                )

    def test_controllers_without_an_index(self):
        path = 'devices/controller'
        limits.check(domain(path, '<controller/>' * 256))
        self.refused(domain(path, '<controller/>' * 257), 'at most 256 ')

    def test_numbers(self):
        for path, highest in (('vcpu', 65536), ('iothreads', 4096)):
            text = f'<{path}> {{}} </{path}>'
            limits.check(domain(path, text.format(highest)))
            limits.check(domain(path, text.format('many')))
            for number in (highest + 1, 10**12):
                self.refused(
                    domain(path, text.format(number)), path, f'most {highest}'
                )

    def test_lists(self):
        for tag, name in (
            ('vcpupin', 'cpuset'),
            ('vcpupin', 'cpus'),
            ('memnode', 'nodeset'),
        ):
            one = f"<{tag} {name}='1-4095,7'/>"
            limits.check(domain(f'x/{tag}', one * 512))
            self.refused(
                domain(f'x/{tag}', one * 512 + f"<{tag} {name}='7'/>"),
                str(1 << 21),
            )


class DoubledTest(testtools.TestCase):
    def doubled(self, path, elements):
        return list(limits.doubled(domain(path, elements)))

    def test_single_ones(self):
        for path in SINGLE:
            one = f'<{path.rpartition("/")[2]}/>'
            self.assertEqual([], self.doubled(path, one))
            self.assertEqual([path], self.doubled(path, one * 2))

    def test_keyed_ones(self):
        for path, key in KEYED.items():
            tag = path.rpartition('/')[2]
            one, two = (f"<{tag} {key}='{n}'/>" for n in (1, 2))
            self.assertEqual([], self.doubled(path, one + two))
            self.assertEqual(
                [f"{path}[@{key}='2']"], self.doubled(path, one + two + two)
            )

    def test_parts_of_devices(self):
        for device in ('disk', 'interface', 'controller'):
            for part in (
                'driver', 'source', 'target', 'model', 'mac', 'vlan',
            ):  # fmt: skip
                path = f'devices/{device}/{part}'
                self.assertEqual([], self.doubled(path, f'<{part}/>'))
                self.assertEqual([path], self.doubled(path, f'<{part}/>' * 2))
        self.assertEqual([], self.doubled('devices/tpm/x', '<driver/>' * 2))
        self.assertEqual([], self.doubled('devices/disk/x', '<alias/>' * 2))
