"""The out-of-tree hook of examples/, installed as a stranger would."""

import json
import os
from pathlib import Path
import subprocess
import sys

import fixtures
import testtools
import yaml

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / 'examples' / 'panic-device'


class ExampleTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.dir = Path(self.useFixture(fixtures.TempDir()).path)
        site = self.dir / 'site'
        source = self.dir / 'source'
        source.mkdir()
        for path in EXAMPLE.iterdir():
            if path.is_file():
                (source / path.name).write_bytes(path.read_bytes())
        self.run_python(
            '-m', 'pip', 'install', '--quiet', '--no-deps', '--no-index',
            '--no-build-isolation', '--target', str(site), str(source),
        )  # fmt: skip
        self.path = os.pathsep.join([str(site), str(ROOT)])

    def run_python(self, *arguments, check=True):
        done = subprocess.run(
            [sys.executable, *arguments],
            env={**os.environ, 'PYTHONPATH': getattr(self, 'path', '')},
            capture_output=True,
            text=True,
            timeout=120,
            cwd=self.dir,
        )
        if check:
            self.assertEqual(0, done.returncode, done.stderr)
        return done.stdout

    def cli(self, *arguments):
        return self.run_python('-m', 'kvm_tuning.cmd.main', *arguments)

    def test_it_is_listed_and_planned_and_undone(self):
        knobs = json.loads(self.cli('knob', 'list', '-f', 'json'))
        names = {each['knob'] for each in knobs}
        self.assertIn('kvm:panic_device', names)
        flavor = self.dir / 'flavor.yaml'
        flavor.write_text(
            yaml.safe_dump(
                {
                    'name': 'panic',
                    'id': '1',
                    'vcpus': 4,
                    'ram': 2048,
                    'disk': 0,
                    'properties': {'kvm:panic_device': 'true'},
                }
            )
        )
        from tests.fixtures.fake_host import FakeHost

        root = self.dir / 'root'
        root.mkdir()
        FakeHost().write(str(root))
        guest = ROOT / 'tests' / 'scenarios' / 'guests' / 'plain.xml'
        tuned = self.cli(
            'guest', 'plan', '--flavor', str(flavor), '--xml', str(guest),
            '--root', str(root), '--show', 'xml',
        )  # fmt: skip
        self.assertIn("<panic model='isa'/>", tuned)
        pages = self.run_python(
            '-c',
            'from kvm_tuning import loader, sphinxext\n'
            'for hook in loader.load():\n'
            '    print(*sphinxext.describe(hook), sep="\\n")\n',
        )
        self.assertIn('.. _hook-panic_device:', pages)
