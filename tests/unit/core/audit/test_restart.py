from lxml import etree
import testtools

from kvm_tuning.core.audit import restart
from kvm_tuning.core.edit import Promise, Removal
from kvm_tuning.core.receipt import Receipt


def pending(defined, live, *promises):
    return [
        (each.address, each.running, each.defined)
        for each in restart.pending(
            etree.fromstring(f'<domain>{defined}</domain>'),
            etree.fromstring(f'<domain>{live}</domain>'),
            [None, Receipt('f', promises=promises)],
        )
    ]


MEMORY = Promise('numatune/memory', {'mode': 'strict', 'nodeset': '0'}, {})
STRICT = "<numatune><memory mode='strict' nodeset='0'/></numatune>"


class PendingTest(testtools.TestCase):
    def test_nothing(self):
        self.assertEqual([], pending(STRICT, STRICT, MEMORY))

    def test_an_attribute(self):
        live = STRICT.replace('strict', 'preferred')
        self.assertEqual(
            [('numatune/memory/@mode', 'preferred', 'strict')],
            pending(STRICT, live, MEMORY),
        )

    def test_an_element_that_is_to_come(self):
        self.assertEqual(
            [
                ('numatune/memory/@mode', 'absent', 'strict'),
                ('numatune/memory/@nodeset', 'absent', '0'),
            ],
            pending(STRICT, '', MEMORY),
        )

    def test_an_element_that_is_to_go(self):
        self.assertEqual(
            [('numatune/memory', 'present', 'absent')],
            pending('', STRICT, MEMORY),
        )

    def test_a_text(self):
        self.assertEqual(
            [('iothreads', '1', '2')],
            pending(
                '<iothreads>2</iothreads>',
                '<iothreads>1</iothreads>',
                Promise('iothreads', {'#text': '2'}, {}),
            ),
        )

    def test_a_removal(self):
        removal = Removal('memoryBacking/hugepages')
        pages = '<memoryBacking><hugepages/></memoryBacking>'
        self.assertEqual([], pending(pages, pages, removal))
        self.assertEqual(
            [('memoryBacking/hugepages', 'present', 'absent')],
            pending('', pages, removal),
        )
