"""QEMU's arguments, as old and new libvirt write them."""

from hypothesis import given, settings
from hypothesis import strategies as st
import testtools

from kvm_tuning.host.guests import qemu_args


def parse(*words):
    return qemu_args.parse('\0'.join(('qemu', *words, '')).encode())


class ParseTest(testtools.TestCase):
    def values(self, *words):
        return [value for _name, value in parse(*words).options]

    def test_json(self):
        (value,) = self.values('-device', '{"driver":"x","id":"a","n":2}')
        self.assertEqual({'driver': 'x', 'id': 'a', 'n': 2}, value)

    def test_keyval(self):
        (value,) = self.values('-device', 'virtio-net-pci,mq=on,id=net0')
        self.assertEqual(
            {'': 'virtio-net-pci', 'mq': 'on', 'id': 'net0'}, value
        )

    def test_a_doubled_comma_is_one(self):
        (value,) = self.values('-drive', 'file=/a,,b.img,id=d')
        self.assertEqual({'file': '/a,b.img', 'id': 'd'}, value)

    def test_a_key_that_comes_again(self):
        (value,) = self.values('-numa', 'node,cpus=0-1,cpus=4,cpus=6')
        self.assertEqual(['0-1', '4', '6'], value['cpus'])

    def test_a_word_alone_is_a_switch(self):
        (value,) = self.values('-cpu', 'host,migratable')
        self.assertEqual({'': 'host', 'migratable': 'on'}, value)

    def test_other_options_are_left_out(self):
        self.assertEqual([], self.values('-append', 'a=b', '-S'))

    def test_broken_json_is_left_out(self):
        self.assertEqual([], self.values('-device', '{"driver":'))
        self.assertEqual([], self.values('-device', '{' * 100000))

    @settings(deadline=None)
    @given(st.binary())
    def test_anything_is_parsed(self, garbage):
        qemu_args.parse(b'qemu\0-device\0' + garbage + b'\0-cpu\0' + garbage)


class NodesTest(testtools.TestCase):
    def nodes(self, *values):
        words = [w for v in values for w in ('-blockdev', v)]
        found = qemu_args.block_nodes(parse(*words), 'top')
        return [node.get('driver') for node in found]

    def test_a_chain(self):
        self.assertEqual(
            ['qcow2', 'file'],
            self.nodes(
                '{"node-name":"top","driver":"qcow2","file":"below"}',
                '{"node-name":"below","driver":"file"}',
            ),
        )

    def test_a_node_within(self):
        self.assertEqual(
            ['raw', 'file'],
            self.nodes(
                '{"node-name":"top","driver":"raw","file":{"driver":"file"}}'
            ),
        )

    def test_a_chain_without_end(self):
        self.assertEqual(
            ['raw'],
            self.nodes('{"node-name":"top","driver":"raw","file":"top"}'),
        )


class ValuesTest(testtools.TestCase):
    def test_switches(self):
        for value, want in (
            (True, True), (False, False), ('on', True), ('off', False),
            ('x', None), (None, None),
        ):  # fmt: skip
            self.assertIs(want, qemu_args.flag(value))

    def test_numbers(self):
        for value, want in (
            (3, 3), ('12', 12), (True, None), (None, None), ('x', None),
            ('²', None), ('9' * 5000, None), (-1, None),
        ):  # fmt: skip
            self.assertEqual(want, qemu_args.number(value))
