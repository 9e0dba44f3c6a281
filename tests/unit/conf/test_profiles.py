import os

import fixtures
import testtools

from kvm_tuning import loader
from kvm_tuning.conf import profiles
from kvm_tuning.core import request
from kvm_tuning.core.documents import Flavor
from kvm_tuning.core.exceptions import ConfigInvalid

KNOBS = loader.knobs(loader.load())


class ShippedTest(testtools.TestCase):
    def test_all_are_valid_and_explained(self):
        found = profiles.read(KNOBS)
        self.assertEqual(
            {'density', 'latency', 'network', 'throughput'}, set(found)
        )
        for profile in found.values():
            self.assertGreater(len(profile.help.split()), 10)
            self.assertTrue(profile.knobs)

    def test_none_contradicts_itself(self):
        texts = profiles.texts(profiles.read(KNOBS).values())
        for name in texts:
            flavor = Flavor('f', '1', 2, 256, 0, {'kvm:profile': name})
            asked = request.read(flavor, None, KNOBS, texts)
            for hook in loader.load():
                if hook.wanted(asked):
                    errors = [
                        each
                        for each in hook.check(asked)
                        if isinstance(each, Exception)
                    ]
                    self.assertEqual([], errors, name)


class OwnTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = self.useFixture(fixtures.TempDir()).path

    def write(self, text, name='own.yaml'):
        path = os.path.join(self.folder, name)
        with open(path, 'wb') as file:
            file.write(text if isinstance(text, bytes) else text.encode())
        return path

    def read(self):
        return profiles.read(KNOBS, self.folder)

    def test_one_of_the_site(self):
        self.write('help: Ours.\nknobs: {kvm:iothreads: 2}\n')
        own = self.read()['own']
        self.assertEqual({'kvm:iothreads': '2'}, own.knobs)
        self.assertEqual('Ours.', own.help)

    def test_replaces_a_shipped_one(self):
        path = self.write('knobs: {kvm:page_sharing: no}\n', 'latency.yaml')
        latency = self.read()['latency']
        self.assertEqual(path, latency.path)
        self.assertEqual({'kvm:page_sharing': 'false'}, latency.knobs)

    def test_an_absent_directory_has_none(self):
        found = profiles.read(KNOBS, os.path.join(self.folder, 'absent'))
        self.assertIn('latency', found)

    def test_what_is_wrong_names_the_file(self):
        for text in (
            'knobs: {kvm:nothing: 1}',
            'knobs: {kvm:iothreads: 99}',
            'knobs: {kvm:iothreads: [1]}',
            'knobs: {kvm:profile: latency}',
            'knobs: {hw:cpu_policy: maybe}',
            'knobs: 3',
            'help: [1]\nknobs: {}',
            'knobs: {}\nmore: 1',
            '[1, 2]',
            'knobs: {a: 1',
            '- &a 1\n- *a',
            b'\xff\xfe\x00',
            'x' * (profiles.MAX_BYTES + 1),
        ):
            path = self.write(text)
            error = self.assertRaises(ConfigInvalid, self.read)
            self.assertIn(path, str(error))

    def test_a_directory_in_the_place_of_a_file(self):
        os.mkdir(os.path.join(self.folder, 'x.yaml'))
        self.assertRaises(ConfigInvalid, self.read)

    def test_two_files_of_one_name(self):
        self.write('knobs: {}')
        self.write('knobs: {}', 'own.yml')
        self.assertRaises(ConfigInvalid, self.read)
