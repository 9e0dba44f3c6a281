"""The configuration as a document: its schema, its errors, its text."""

import os

import fixtures
import jsonschema
import testtools
from testtools.matchers import Contains, Equals
import yaml

from kvm_tuning.core.exceptions import ConfigInvalid
from kvm_tuning.host import configuration, document
from tests.fixtures import whole_host

EXAMPLES = os.path.join(
    os.path.dirname(__file__), '../../../etc/kvm_tuning/cloud-init'
)


def check(text):
    document.check(yaml.safe_load(text))


class SchemaTest(testtools.TestCase):
    def test_is_a_schema(self):
        jsonschema.Draft202012Validator.check_schema(document.schema())

    def test_has_each_option_and_its_help(self):
        groups = document.schema()['properties'][document.KEY]['properties'][
            'config'
        ]['properties']
        self.assertEqual(
            {
                group: {o.dest for o in each}
                for group, each in configuration.list_opts()
            },
            {group: set(each['properties']) for group, each in groups.items()},
        )
        for group in groups.values():
            for option in group['properties'].values():
                self.assertTrue(option['description'])


class CheckTest(testtools.TestCase):
    def refused(self, text):
        return str(self.assertRaises(ConfigInvalid, check, text))

    def test_says_key_value_and_what_would_work(self):
        for text, said in (
            (
                'config: {ksm: {run: maybe}}',
                "kvm_tuning.config.ksm.run = 'maybe': want off or on",
            ),
            (
                'config: {compaction: {proactiveness: 200}}',
                'kvm_tuning.config.compaction.proactiveness = 200: want a '
                'whole number from 0 to 100',
            ),
            (
                'config: {ksm: {runn: off}}',
                'kvm_tuning.config.ksm.runn is not a key; did you mean run?',
            ),
            (
                'config: {hugepages: {}}',
                'kvm_tuning.config.hugepages is not a key; did you mean '
                'huge_pages?',
            ),
            ('reboot: maybe', "kvm_tuning.reboot = 'maybe': want true or"),
            (
                'gate: [nova]',
                "kvm_tuning.gate.0 = 'nova': want a text such as "
                'nova-compute.service',
            ),
            (
                'config: {sriov: {allow: [everything]}}',
                "kvm_tuning.config.sriov.allow.0 = 'everything': want "
                'address or storage or managed or stopped-guest',
            ),
            ('install: {requirement: "--index-url=x"}', 'such as kvm-tuning'),
            ('[]', 'kvm_tuning = []: want a mapping'),
        ):
            self.assertThat(self.refused(text), Contains(said))

    def test_says_all_at_once(self):
        said = self.refused('{reboot: 1, config: {ksm: {run: x}}}')
        self.assertThat(said, Contains('kvm_tuning.reboot = 1'))
        self.assertThat(said, Contains("kvm_tuning.config.ksm.run = 'x'"))

    def test_no_line_brings_another_option_in(self):
        self.refused('config: {libvirt: {uri: "x\\n[ksm]\\nrun = on"}}')
        self.refused('config: {cpu_isolation: {isolate_by: ["a\\nb"]}}')
        self.refused('config: {huge_pages: {pages: [{node: "0\\n[x]"}]}}')


class TextTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = self.useFixture(fixtures.TempDir()).path

    def load(self, text):
        path = os.path.join(self.folder, 'c.conf')
        with open(path, 'w') as file:
            file.write(text)
        return configuration.load(self.folder, [path])

    def read(self, text):
        section = yaml.safe_load(text)
        document.check(section)
        return self.load(document.text(section))

    def test_is_read_as_it_was_meant(self):
        read = self.read("""
            config:
              ksm: {run: off, merge_across_nodes: false}
              huge_pages:
                pages:
                - {node: 0, size: 2048, count: 64}
                - node:1,size:1GB,count:2
              sriov: {vfs: ['driver:igb=7'], allow: [address, storage]}
              cpu_isolation: {housekeeping_cpus: 3, isolate_by: []}
              libvirt: {uri: 'qemu:///system?a=$b'}
              host_prep: {write_timeout: 2.5}
              defaults: {knobs: ['kvm:page_sharing=false']}
        """)
        self.assertEqual('off', read.ksm.run)
        self.assertIs(False, read.ksm.merge_across_nodes)
        self.assertEqual(
            [
                {'node': '0', 'size': '2048', 'count': '64'},
                {'node': '1', 'size': '1GB', 'count': '2'},
            ],
            read.huge_pages.pages,
        )
        self.assertEqual(['driver:igb=7'], read.sriov.vfs)
        self.assertEqual(['address', 'storage'], read.sriov.allow)
        self.assertEqual('3', read.cpu_isolation.housekeeping_cpus)
        self.assertEqual([], read.cpu_isolation.isolate_by)
        self.assertEqual('qemu:///system?a=$b', read.libvirt.uri)
        self.assertEqual(2.5, read.host_prep.write_timeout)
        self.assertEqual(['kvm:page_sharing=false'], read.defaults.knobs)

    def test_a_whole_configuration_comes_back(self):
        before = self.load(whole_host.CONFIGURATION)
        section = {'config': {}}
        for group, options in configuration.list_opts():
            values = {o.dest: before[group][o.dest] for o in options}
            section['config'][group] = {
                key: value
                for key, value in values.items()
                if value is not None
            }
        document.check(section)
        after = self.load(document.text(section))
        for group, options in configuration.list_opts():
            for option in options:
                self.assertEqual(
                    before[group][option.dest], after[group][option.dest]
                )

    def test_the_examples_are_right(self):
        names = [n for n in os.listdir(EXAMPLES) if n.endswith('.yaml')]
        self.assertTrue(names)
        for name in names:
            with open(os.path.join(EXAMPLES, name)) as file:
                found = yaml.safe_load(file)
            for entry in found.get('write_files', ()):
                if 'kvm_tuning' in entry['path']:
                    found = yaml.safe_load(entry['content'])
            section = found[document.KEY]
            self.assertThat(document.check(section), Equals(None))
            self.load(document.text(section))
