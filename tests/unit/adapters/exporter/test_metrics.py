"""The metrics of a host below a root, and the files that use them."""

import json
from pathlib import Path
import re
import shutil
import subprocess

import fixtures
import testtools
import yaml

from kvm_tuning import loader
from kvm_tuning.adapters import audit, connection
from kvm_tuning.adapters.exporter import source
from kvm_tuning.core import documents, request
from kvm_tuning.core.assess.codes import CODES
from kvm_tuning.core.claims import Record
from kvm_tuning.core.exceptions import InventoryUnreadable, LibvirtFailed
from kvm_tuning.host import configuration
from tests.fixtures import memory_dir, prometheus
from tests.fixtures.assessed_guest import HOST, AssessedGuest

TOP = Path(__file__).parents[4]
PROMETHEUS = TOP / 'etc/kvm_tuning/prometheus'
NOVA = """\
<domain type='kvm'><name>one</name><uuid>{uuid}</uuid><vcpu>4</vcpu>
<metadata><nova:instance
 xmlns:nova='http://openstack.org/xmlns/libvirt/nova/1.1'>
<nova:flavor name='m1.small'/><nova:owner><nova:project uuid='p1'>x
</nova:project></nova:owner></nova:instance></metadata></domain>
"""


class MetricsTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.client, self.exporter = prometheus.client(), prometheus.server()
        place = memory_dir.place()
        self.root = self.useFixture(fixtures.TempDir(place)).path
        HOST.write(self.root)
        self.now = 0.0

    def registry(self, *flavors, per_vcpu=False, **more):
        hooks = loader.load()
        conf = configuration.load(self.root)
        asked = [
            request.read(
                documents.flavor(json.dumps(each), 'f'), None,
                loader.knobs(hooks), {}, {},
            )
            for each in flavors
        ]  # fmt: skip
        settings = source.Settings(
            conf, self.root, hooks=hooks, requests=asked,
            clock=lambda: self.now, **more,
        )  # fmt: skip
        return self.exporter.registry(settings, per_vcpu)

    def flavor(self, name='web', vcpus=4):
        return {
            'name': name, 'id': name, 'vcpus': vcpus, 'ram': 64, 'disk': 1,
            'properties': {'hw:cpu_policy': 'dedicated'},
        }  # fmt: skip

    def samples(self, made):
        return {
            (each.name, *sorted(each.labels.values())): each.value
            for family in made.collect()
            for each in family.samples
        }

    def test_a_guest(self):
        guest = AssessedGuest(
            'one', 1000, ('0', '16', '4', '20'), wait_ns=2 * 10**9,
            huge_kib={0: 3 << 20, 1: 1 << 20}, small_kib={0: 0},
        )  # fmt: skip
        guest.write(self.root)
        found = self.samples(self.registry())
        of = sorted(('one', guest.uuid))
        prefix = 'kvm_tuning_guest_'
        self.assertEqual(1, found[f'{prefix}excess_l3_domains', *of])
        self.assertEqual(0.25, found[f'{prefix}remote_memory_ratio', *of])
        # Four vCPUs, two seconds each.
        self.assertEqual(8, found[f'{prefix}vcpu_wait_seconds_total', *of])
        self.assertEqual(1, found[f'{prefix}info', *sorted(('', '', *of))])
        for code in ('l3-span', 'memory-remote', 'vcpus-wait'):
            labels = sorted((*of, code, 'warning'))
            self.assertEqual(1, found[f'{prefix}findings', *labels], code)
            self.assertEqual(
                1, found['kvm_tuning_findings', *sorted((code, 'warning'))]
            )
        self.assertEqual(
            0, found['kvm_tuning_findings', 'disk-unsafe', 'error']
        )

    def test_what_is_unknown_has_no_sample(self):
        AssessedGuest('one').write(self.root)
        group = next(
            Path(self.root, 'sys/fs/cgroup').rglob('memory.numa_stat')
        )
        group.unlink()
        found = self.samples(self.registry())
        names = {name for name, *_labels in found}
        self.assertNotIn('kvm_tuning_guest_remote_memory_ratio', names)
        codes = {
            label
            for name, *labels in found
            if name == 'kvm_tuning_findings'
            for label in labels
        }
        self.assertNotIn('memory-remote', codes)
        self.assertNotIn('foreign-threads', codes)
        self.assertIn('disk-unsafe', codes)

    def test_series_of_each_vcpu(self):
        AssessedGuest('one', wait_ns=10**9).write(self.root)
        found = self.samples(self.registry(per_vcpu=True))
        waits = [
            value for (name, *_labels), value in found.items()
            if name == 'kvm_tuning_guest_vcpu_wait_seconds_total'
        ]  # fmt: skip
        self.assertEqual([1.0] * 4, waits)

    def test_two_guests_with_one_name(self):
        AssessedGuest('one', 1000).write(self.root)
        AssessedGuest('one', 2000, ('4', '20', '5', '21')).write(self.root)
        families = list(self.registry().collect())
        for family in families:
            labels = [tuple(each.labels.items()) for each in family.samples]
            self.assertEqual(len(labels), len(set(labels)), family.name)

    def test_cells_and_capacity(self):
        found = self.samples(
            self.registry(self.flavor(), self.flavor('db', 9))
        )
        # Nobody has configured this host: all pCPUs may be dedicated.
        for cell in '01':
            self.assertEqual(16, found['kvm_tuning_cell_free_pcpus', cell])
            self.assertEqual(2, found['kvm_tuning_cell_free_l3_domains', cell])
        self.assertEqual(2, found['kvm_tuning_cell_free_vfs', '1'])
        self.assertEqual(8, found['kvm_tuning_capacity_guests', 'web'])
        self.assertEqual(2, found['kvm_tuning_capacity_guests', 'db'])

    def test_capacity_is_counted_once_a_minute(self):
        calls = []
        original = source.capacity.room

        def room(*args):
            calls.append(self.now)
            return original(*args)

        self.patch(source.capacity, 'room', room)
        made = self.registry(self.flavor())
        del calls[:]
        for self.now in (0, 59, 60, 100, 121):
            self.samples(made)
        self.assertEqual([0, 60, 121], calls)

    def test_a_host_that_is_not_ready(self):
        made = self.registry()
        found = self.samples(made)
        self.assertEqual(1, found['kvm_tuning_host_ready',])
        self.patch(source.ready, 'check', lambda *_: ('[ksm] no', '[x] no'))
        found = self.samples(made)
        self.assertEqual(0, found['kvm_tuning_host_ready',])
        self.assertEqual(2, found['kvm_tuning_host_drifted_settings',])

    def test_a_part_that_cannot_be_read_stops_nothing_else(self):
        def refuse(*_args, **_more):
            raise InventoryUnreadable('no')

        self.patch(source.capacity, 'room', refuse)
        found = self.samples(self.registry())
        success = 'kvm_tuning_collector_success'
        self.assertEqual(0, found[success, 'capacity'])
        self.assertEqual(1, found[success, 'guests'])
        names = {name for name, *_labels in found}
        self.assertNotIn('kvm_tuning_cell_free_pcpus', names)

    def test_a_scrape_walks_no_page_tables(self):
        guest = AssessedGuest('one')
        guest.write(self.root)
        home = Path(self.root, 'proc/1000')
        for name in ('smaps', 'smaps_rollup', 'numa_maps'):
            (home / name).mkdir()
        (home / 'cgroup').write_text('0::/user.slice\n')
        self.assertEqual(
            1,
            self.samples(self.registry())[
                'kvm_tuning_collector_success', 'guests'
            ],
        )

    def test_libvirt(self):
        guest = AssessedGuest('one')
        guest.write(self.root)
        record = Record('one', guest.uuid, None, NOVA.format(uuid=guest.uuid))
        connected = []

        class Libvirt:
            """A connection that has one guest."""

            def __enter__(self):
                connected.append(1)
                return self

            def __exit__(self, *_error):
                pass

            def records(self):
                return [record]

        self.patch(connection, 'open', lambda *_a, **_k: Libvirt())
        self.patch(audit, 'audit', lambda *_a, **_k: [
            audit.Audited('one', True, ()),
        ])  # fmt: skip
        made = self.registry(uri='test:///x')
        found = self.samples(made)
        labels = sorted(('one', guest.uuid, 'm1.small', 'p1'))
        self.assertEqual(1, found['kvm_tuning_guest_info', *labels])
        of = sorted(('one', guest.uuid))
        self.assertEqual(0, found['kvm_tuning_guest_broken_promises', *of])
        # Promises are not compared with each scrape.
        del connected[:]
        self.now = 599
        self.samples(made)
        self.assertEqual(1, len(connected))

    def test_a_libvirt_that_is_away(self):
        def refuse(*_args, **_more):
            raise LibvirtFailed('no')

        self.patch(connection, 'open', refuse)
        AssessedGuest('one').write(self.root)
        found = self.samples(self.registry(uri='test:///x'))
        success = 'kvm_tuning_collector_success'
        self.assertEqual(0, found[success, 'libvirt'])
        self.assertEqual(0, found[success, 'promises'])
        # Its process shows the guest all the same.
        names = {name for name, *_labels in found}
        self.assertIn('kvm_tuning_guest_excess_l3_domains', names)

    def everything(self):
        """Return the names of all metrics."""
        AssessedGuest('one', disk={'num-queues': 1}).write(self.root)
        guest = AssessedGuest('one')
        self.patch(
            source.Source, '_broken', lambda _self: {(guest.uuid, 'one'): 0}
        )
        self.patch(source.Source, '_records', lambda _self: [])
        pool = 'sys/devices/system/node/node0/hugepages/hugepages-2048kB'
        folder = Path(self.root, pool)
        folder.mkdir(parents=True)
        for name in ('nr_hugepages', 'free_hugepages'):
            (folder / name).write_text('8\n')
        return self.registry(self.flavor(), uri='test:///x')

    def test_the_text_is_prometheus_s(self):
        path = str(Path(self.root, 'x.prom'))
        self.exporter.write(self.everything(), path)
        text = Path(path).read_text()
        read = self.client.parser.text_string_to_metric_families
        names = {family.name for family in read(text)}
        self.assertGreater(len(names), 14)
        promtool = shutil.which('promtool')
        if promtool is None:
            self.skipTest('no promtool: Debian has it in prometheus')
        checked = subprocess.run(
            [promtool, 'check', 'metrics'], input=text, text=True,
            capture_output=True, timeout=60,
        )  # fmt: skip
        self.assertEqual((0, '', ''), (checked.returncode, checked.stdout,
                                       checked.stderr))  # fmt: skip

    def test_files_name_metrics_and_codes_that_there_are(self):
        names = {
            sample.name
            for family in self.everything().collect()
            for sample in family.samples
        }
        for path in (
            PROMETHEUS / 'rules.yml',
            PROMETHEUS / 'rules.test.yml',
            PROMETHEUS / 'dashboard.json',
            TOP / 'doc/source/admin/metrics.rst',
        ):
            used = set(re.findall(r'\bkvm_tuning_[a-z0-9_]*[a-z0-9]\b',
                                  path.read_text()))  # fmt: skip
            # A folder of the package is called so, too.
            used = {each for each in used if not each.endswith('kvm_tuning')}
            self.assertEqual(set(), used - names, path.name)
        documented = (TOP / 'doc/source/admin/metrics.rst').read_text()
        for name in names:
            self.assertIn(f'``{name}``', documented)
        rules = yaml.safe_load((PROMETHEUS / 'rules.yml').read_text())
        for rule in rules['groups'][0]['rules']:
            page, _hash, code = rule['annotations']['runbook'].partition('#')
            self.assertTrue((TOP / f'doc/source/{page}.rst').exists(), page)
            if code and '{' not in code:
                self.assertIn(code, CODES)
            for each in re.findall(r'code=~"([^"]+)"', rule['expr']):
                self.assertEqual(set(), set(each.split('|')) - set(CODES))

    def test_rules(self):
        promtool = shutil.which('promtool')
        if promtool is None:
            self.skipTest('no promtool: Debian has it in prometheus')
        for argv in (('check', 'rules', 'rules.yml'),
                     ('test', 'rules', 'rules.test.yml')):  # fmt: skip
            checked = subprocess.run(
                [promtool, *argv], cwd=PROMETHEUS, text=True, timeout=60,
                capture_output=True,
            )  # fmt: skip
            self.assertEqual(0, checked.returncode, checked.stderr)
