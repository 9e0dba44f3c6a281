"""``host map``: a host and its guests as a picture."""

import io
import json
import os
from unittest import mock

import fixtures
from lxml import etree

from kvm_tuning.adapters import assessment
from kvm_tuning.cmd import host_map
from kvm_tuning.cmd.drawing import colours, documents, layout
from kvm_tuning.cmd.drawing.terminal import Terminal
from kvm_tuning.core.picture import draw
from kvm_tuning.core.picture.model import Mark, Picture, Resident
from tests.fixtures import memory_dir, scattered_guests
from tests.fixtures.assessed_guest import HOST, AssessedGuest
from tests.fixtures.fake_host import FakeHost
from tests.unit.cmd.base import CommandTest

HOSTILE = '</title><script>alert(1)</script>&"\'\x1b[2J'
_SVG = {'s': 'http://www.w3.org/2000/svg'}
#: From two pCPUs to 1,024.
SIZES = (
    FakeHost(cells=1, l3_per_cell=1, cores=2, threads=1),
    FakeHost(cells=2, l3_per_cell=2, cores=8, threads=2),
    FakeHost(cells=1, l3_per_cell=1, cores=64, threads=4),
    FakeHost(cells=8, l3_per_cell=8, cores=8, threads=2),
)


def resident(number, name, *pcpus, mark='A', **more):
    vcpus = {vcpu: frozenset({pcpu}) for vcpu, pcpu in enumerate(pcpus)}
    return Resident(str(number), mark, name, vcpus, **more)


class HostMapTest(CommandTest):
    def setUp(self):
        super().setUp()
        self.root = self.temporary(HOST)

    def temporary(self, host):
        place = memory_dir.place()
        root = self.useFixture(fixtures.TempDir(place)).path
        host.write(root)
        return root

    def picture(self, host):
        return draw.picture(host.inventory())

    def map(self, *argv):
        return self.run_command('host', 'map', '--root', self.root, *argv)

    def written(self, name):
        path = os.path.join(self.root, name)
        result = self.map('--output', path)
        self.assertEqual(0, result.status, result.stderr)
        with open(path, encoding='utf-8') as file:
            return file.read()

    def drawn(self):
        found = assessment.assessment([], assessment.How(self.root))
        return draw.picture(found.inventory, found.guests)

    def test_where_a_guest_is(self):
        AssessedGuest('db').write(self.root)
        found = self.drawn()
        place = {
            cpu: [(guest.name, vcpu) for guest, vcpu in each]
            for cpu, each in found.vcpus.items()
        }
        self.assertEqual(
            {
                0: [('db', 0)],
                16: [('db', 1)],
                1: [('db', 2)],
                17: [('db', 3)],
            },
            place,
        )
        helpers = {name for _guest, name in found.helpers[2]}
        self.assertEqual({'emulator', 'iothread', 'vhost'}, helpers)
        (guest,) = found.guests
        self.assertLess(4 << 20, guest.cells_kib[0] + 1)
        self.assertEqual({0, 1}, {cell.id for cell in found.cells})
        self.assertEqual([0, 1], [d.number for d in found.cells[0].domains])
        self.assertEqual((0, 16), found.cells[0].domains[0].cores[0])
        (device,) = found.cells[1].devices
        self.assertEqual(('PF', 3), (device.kind, len(device.addresses)))

    def test_findings_are_where_they_are(self):
        AssessedGuest('wide', pins=('0', '16', '8', '24')).write(self.root)
        self.assertEqual({0, 16, 8, 24}, self.drawn().flagged)
        out = self.map().stdout
        self.assertIn('warning cell-span: ', out)

    def test_captured_documents(self):
        os.mkdir(os.path.join(self.root, 'xml'))
        path = os.path.join(self.root, 'xml', 'a.xml')
        with open(path, 'w') as file:
            file.write(scattered_guests.xml('captured', 4, 20))
        out = self.map('--domains', os.path.dirname(path)).stdout
        self.assertIn('A captured: 2 vCPUs on pCPU 4,20 in L3 1', out)

    def test_a_plan_before_and_after(self):
        folder = os.path.join(self.root, 'xml')
        os.mkdir(folder)
        with open(os.path.join(folder, 'a.xml'), 'w') as file:
            file.write(scattered_guests.xml('a', 0, 4, 8, 12))
        with open(os.path.join(folder, 'b.xml'), 'w') as file:
            file.write(scattered_guests.xml('b', 1, 17))
        flavor = os.path.join(self.root, 'flavor.json')
        with open(flavor, 'w') as file:
            json.dump(
                {
                    'name': 'f',
                    'vcpus': 4,
                    'ram': 64,
                    'disk': 0,
                    'properties': {
                        'hw:cpu_policy': 'dedicated',
                        'kvm:cpu_locality': 'l3',
                        'kvm:cpu_locality_policy': 'strict',
                    },
                },
                file,
            )
        options = ('--domains', folder, '--flavor', flavor)
        found = self.map(*options, '--domain', 'a')
        self.assertEqual(0, found.status, found.stderr)
        now, then = found.stdout.split('With the plan for a')
        self.assertIn('in L3 0, 1, 2, 3', now)
        self.assertRegex(then, r'A a: 4 vCPUs on pCPU [0-9,-]+ in L3 \d;')
        self.assertIn('B b: 2 vCPUs on pCPU 1,17 in L3 0', then)
        found = self.map(*options, '--domain', 'c')
        self.assertEqual(2, found.status)
        self.assertIn('there are: a, b', found.stderr)
        self.assertEqual(2, self.map('--domain', 'a').status)

    def test_hostile_names_are_text(self):
        guest = resident(1, HOSTILE, 0, 1)
        found = Picture(self.drawn().cells, (guest,))
        svg = documents.svg([('now', found)])
        root = etree.fromstring(svg.encode())
        self.assertEqual([], root.xpath('//s:script', namespaces=_SVG))
        titles = root.xpath('//s:title/text()', namespaces=_SVG)
        shown = HOSTILE.replace('\x1b', '\\x1b')
        self.assertIn(f'pCPU 0: vCPU 0 of {shown}', titles)
        page = documents.html([('now', found)])
        tree = etree.HTML(page)
        self.assertEqual([], tree.xpath('//script'))
        self.assertIn(shown, tree.xpath('//th/text()'))
        lines = Terminal(80, unicode=True, colour=False).lines(found)
        self.assertNotIn('\x1b', ''.join(lines))

    def test_files(self):
        AssessedGuest('db').write(self.root)
        svg = self.written('map.svg')
        etree.fromstring(svg.encode())
        self.assertEqual(svg, self.written('again.svg'))
        page = self.written('map.html')
        self.assertEqual(page, self.written('again.html'))
        tree = etree.HTML(page)
        for attribute in ('src', 'href'):
            for value in tree.xpath(f'//@{attribute}'):
                self.assertTrue(value.startswith(('#', 'data:')), value)
        self.assertEqual(['db'], tree.xpath('//tbody//th/text()')[:1])
        keys = tree.xpath("//*[@tabindex='0'][@role='img']/@aria-label")
        self.assertEqual(['db'], keys)

    def test_other_files(self):
        found = self.map('--output', 'map.png')
        self.assertEqual(2, found.status)
        self.assertIn('.svg or .html', found.stderr)
        found = self.map('--output', f'{self.root}/none/map.svg')
        self.assertEqual(2, found.status)
        self.assertIn('No such file', found.stderr)

    def test_eighty_columns_at_all_sizes(self):
        for host in SIZES:
            found = self.picture(host)
            last = max(c for d in found.cells[-1].domains for k in d.cores
                       for c in k)  # fmt: skip
            guests = (
                resident(1, 'x' * 200, 0, last, mark='A0'),
                resident(2, 'ü' * 100, 1, mark='A1'),
            )
            found = Picture(found.cells, guests)
            for unicode in (True, False):
                lines = list(Terminal(80, unicode, False).lines(found))
                self.assertEqual([], [x for x in lines if len(x) > 80])
                self.assertIn('A0', ''.join(lines[:-4]))
                if not unicode:
                    self.assertTrue(''.join(lines).isascii())

    def test_colour(self):
        found = self.drawn()
        found = Picture(found.cells, (resident(1, 'a', 0),))
        plain = list(Terminal(80, True, False).lines(found))
        painted = list(Terminal(80, True, True).lines(found))
        self.assertNotIn('\x1b', ''.join(plain))
        self.assertIn('\x1b[38;5;33mA\x1b[0m', ''.join(painted))

    def test_no_color_on_a_terminal(self):
        AssessedGuest('db').write(self.root)

        class Tty(io.StringIO):
            encoding = 'utf-8'

            def isatty(self):
                return True

        for value, coloured in (('', True), ('1', False)):
            out = Tty()
            with mock.patch.dict(os.environ, {'NO_COLOR': value}):
                command = mock.Mock(app=mock.Mock(stdout=out))
                host_map.show(command, None, [('now', self.drawn())])
            self.assertEqual(coloured, '\x1b' in out.getvalue())

    def test_several_on_one_pcpu(self):
        guests = (resident(1, 'a', 0), resident(2, 'b', 0, mark='B'))
        found = Picture(self.drawn().cells, guests)
        lines = list(Terminal(80, True, False).lines(found))
        self.assertIn('│ + ', lines[3])

    def test_marks_are_different(self):
        for count in (1, 26, 27, 936, 1200):
            self.assertEqual(count, len(set(draw.marks(count))))

    def test_after_a_move(self):
        before = Picture(
            self.drawn().cells,
            (
                resident(
                    1, 'a', 0, 4,
                    findings=(Mark('l3-span', 'warning', '', frozenset({4})),),
                ),
            ),
        )  # fmt: skip
        after = before.moved({'1': {1: 1}})
        self.assertEqual({0, 1}, set(after.vcpus))
        self.assertEqual({0, 4}, set(before.vcpus))
        self.assertEqual(frozenset(), after.flagged)
        svg = documents.svg([('Before', before), ('After', after)])
        root = etree.fromstring(svg.encode())
        heads = root.xpath("//s:text[@class='head']/text()", namespaces=_SVG)
        self.assertEqual(['Before', 'After'], heads)

    def test_nothing_overlaps_or_leaves_the_picture(self):
        for host in SIZES:
            made = layout.of(self.picture(host))
            squares = [b for b in made.boxes if b.title.startswith('pCPU')]
            taken = set()
            for box in squares:
                self.assertNotIn((box.x, box.y), taken)
                taken.add((box.x, box.y))
                self.assertLessEqual(box.x + box.width, layout.WIDTH)
                self.assertLessEqual(box.y + box.height, made.height)

    def test_text_on_a_guest_has_contrast(self):
        for number in range(120):
            fill, ink = colours.of(number)
            rgb = tuple(int(fill[i : i + 2], 16) / 255 for i in (1, 3, 5))
            light = colours.luminance(rgb)
            ratio = (
                (light + 0.05) / 0.05
                if ink == '#000'
                else 1.05 / (light + 0.05)
            )
            self.assertLess(4.5, ratio, fill)
