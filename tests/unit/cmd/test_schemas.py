"""JSON schemas of files, and our knobs as Glance takes them."""

from pathlib import Path
import re

import jsonschema
from testtools.matchers import Contains, Equals, HasLength, Is
import yaml

from kvm_tuning import loader
from kvm_tuning.cmd import knob_schemas, schema
from kvm_tuning.core import knobs as kinds
from tests.unit.cmd.base import CommandTest

ETC = Path(__file__).resolve().parents[3] / 'etc/kvm_tuning'
LINE = re.compile(
    r'^# yaml-language-server: \$schema=([a-z-]+)\.schema\.json$', re.M
)
#: Kinds whose schema takes exactly what the parser takes.
EXACT = (kinds.Flag, kinds.Choice, kinds.Count, kinds.Aliases)
TEXTS = (
    '', ' ', '0', '1', '2', '16', '17', '256', '257', '512', '4096', '99999',
    '-1', '1.5', '01', '0-3', '0-3,^1', '3-0', 'true', 'True', 'TRUE', 'off',
    'yes', 'maybe', 'auto', '2MB', '1GB', 'large', 'any', 'a1:2', 'a1:2,b:1',
    'physnet1=50', 'x y',
)  # fmt: skip


class SchemaTest(CommandTest):
    def setUp(self):
        super().setUp()
        self.knobs = [k for hook in loader.load() for k in hook.knobs]
        self.texts = {
            *TEXTS,
            *(
                word
                for knob in self.knobs
                for word in getattr(knob.kind, 'values', ())
            ),
        }

    def takes(self, made, document):
        return jsonschema.Draft202012Validator(made).is_valid(document)

    def flavor_with(self, **specs):
        return {'name': 'f', 'vcpus': 2, 'ram': 512, 'properties': specs}

    def test_each_is_a_schema(self):
        for name in schema.NAMES:
            done = self.run_command('schema', name)
            self.assertThat(done.status, Equals(0), done)
            made = done.document
            jsonschema.Draft202012Validator.check_schema(made)
            self.assertThat(made['type'], Equals('object'))

    def test_another_name(self):
        self.assertThat(self.run_command('schema', 'x').status, Equals(2))

    def test_each_sample_is_valid_and_says_by_what(self):
        found = 0
        for path in sorted(ETC.glob('*/*.yaml')):
            text = path.read_text()
            line = LINE.search(text)
            if path.parent.name in ('flavors', 'images'):
                self.assertIsNotNone(line, path)
            if line is None:
                continue
            found += 1
            wrong = jsonschema.Draft202012Validator(
                schema.make(line[1])
            ).iter_errors(yaml.safe_load(text))
            self.assertThat([e.message for e in wrong], HasLength(0), path)
        self.assertThat(found > 10, Is(True))

    def test_each_knob_takes_what_its_parser_takes(self):
        made = schema.make('flavor')
        for knob in self.knobs:
            key = knob.name if knob.parameter is None else f'{knob.name}.0'
            for text in self.texts:
                try:
                    knob.kind.parse(text)
                    valid = True
                except ValueError:
                    valid = False
                taken = self.takes(made, self.flavor_with(**{key: text}))
                if valid or isinstance(knob.kind, EXACT):
                    self.assertThat(taken, Equals(valid), (key, text))

    def test_numbers_and_booleans_as_yaml_has_them(self):
        made = schema.make('flavor')
        for key, value, valid in (
            ('kvm:iothreads', 4, True),
            ('kvm:iothreads', 0, False),
            ('kvm:iothreads', True, False),
            ('kvm:page_sharing', False, True),
            ('kvm:page_sharing', 2, False),
            ('hw:mem_page_size', 2048, True),
            ('hw:numa_cpus.0', 3, True),
            ('kvm:disk_queues', 'auto', True),
            ('kvm:disk_queues', 2, True),
            ('kvm:disk_queues', 'two', False),
        ):
            document = self.flavor_with(**{key: value})
            self.assertThat(self.takes(made, document), Is(valid), document)

    def test_only_our_keys_are_all_known(self):
        made = schema.make('flavor')
        for key, valid in (
            ('kvm:iothread', False),
            ('kvm:iothreadsx', False),
            ('kvm:iothreads.0', False),
            ('kvm:', False),
            ('hw:another', True),
            ('quota:cpu_shares', True),
        ):
            document = self.flavor_with(**{key: '1'})
            self.assertThat(self.takes(made, document), Is(valid), key)

    def test_fields_of_a_flavor(self):
        made = schema.make('flavor')
        good = self.flavor_with()
        self.assertThat(self.takes(made, good), Is(True))
        for wrong in (
            {'vcpus': 0}, {'ram': 'x'}, {'name': 5}, {'disk': -1},
            {'properties': []},
        ):  # fmt: skip
            self.assertThat(self.takes(made, good | wrong), Is(False), wrong)
        del good['ram']
        self.assertThat(self.takes(made, good), Is(False))

    def test_an_image(self):
        made = schema.make('image')
        for document, valid in (
            ({'properties': {'hw_disk_bus': 'scsi'}}, True),
            ({'properties': {'hw_disk_bus': 'tape'}}, False),
            ({'properties': {'os_type': 'linux'}}, True),
            ({'vcpus': 2}, False),
        ):
            self.assertThat(self.takes(made, document), Is(valid), document)

    def test_configuration(self):
        made = schema.make('configuration')
        self.assertThat(self.takes(made, {'ksm': {'run': 'off'}}), Is(True))
        self.assertThat(self.takes(made, {'ksm': {'run': 'often'}}), Is(False))


class MetadefsTest(CommandTest):
    """What Glance's own schema of a namespace wants (glance 33)."""

    def setUp(self):
        super().setUp()
        self.made = self.run_command('knob', 'metadefs').document
        self.knobs = loader.knobs(loader.load())

    def test_every_knob_of_ours_is_offered(self):
        prefix = self.made['resource_type_associations'][0]['prefix']
        self.assertThat(
            {f'{prefix}{name}' for name in self.made['properties']},
            Equals({n for n in self.knobs if n.startswith('kvm:')}),
        )

    def test_what_is_offered_is_valid(self):
        for name, made in self.made['properties'].items():
            knob = self.knobs[f'kvm:{name}']
            self.assertThat(len(name) <= 80, Is(True))
            for value in made.get('enum', ()):
                knob.kind.parse(value)
            if 'default' in made:
                knob.kind.parse(str(made['default']))
            if 'minimum' in made:
                knob.kind.parse(str(made['minimum']))
                self.assertRaises(
                    ValueError, knob.kind.parse, str(made['maximum'] + 1)
                )
            self.assertThat(made['title'], Equals(knob.name))
            self.assertThat(
                made['description'], Contains(knob.kind.description)
            )

    def test_its_shape(self):
        self.assertThat(len(self.made['description']) <= 500, Is(True))
        self.assertThat(len(self.made['namespace']) <= 80, Is(True))
        for made in self.made['properties'].values():
            self.assertThat(
                made.keys()
                - {'title', 'type', 'description', 'enum', 'default',
                   'pattern', 'minimum', 'maximum'},
                Equals(set()),
            )  # fmt: skip
            self.assertIn(made['type'], ('string', 'integer'))

    def test_a_boolean_is_a_choice_of_texts(self):
        made = self.made['properties']['page_sharing']
        self.assertThat(made['enum'], Equals(['true', 'false']))

    def test_knobs_without_a_prefix_of_ours_are_left_to_nova(self):
        made = knob_schemas.metadefs(self.knobs.values())
        self.assertFalse([n for n in made['properties'] if n.startswith('hw')])
