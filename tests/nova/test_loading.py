"""nova-compute loads our driver, however it and we are installed.

Each test has an environment of its own: only what both depend on is shared
with the one that the tests run in.
"""

import json
import os
from pathlib import Path
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from unittest import SkipTest

import fixtures
import testtools

try:
    import nova
    from nova import version
except ImportError as exc:
    if exc.name != 'nova':
        raise
    raise SkipTest('needs Nova') from exc

ROOT = Path(__file__).parents[2]
SITE = Path(sysconfig.get_path('purelib'))
PROBE = Path(__file__).with_name('loading_probe.py')

#: How the names of what is under test begin: it is no dependency.
UNDER_TEST = ('nova-', 'kvm_tuning', '__editable__')

#: The copy of our source has no git to ask for its version.
OURS = {'PBR_VERSION': '0.0.1'}

CONF = """
[DEFAULT]
compute_driver = kvm_tuning.KvmTuningDriver
host = probe
state_path = {place}
transport_url = fake://
[oslo_concurrency]
lock_path = {place}
"""

_made: dict[str, Path] = {}


def run(*command, **more):
    """Run a command, and have its output in the error when it fails.

    :param more: variables of its environment.
    """
    done = subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=500,
        env={
            name: text
            for name, text in os.environ.items()
            if name != 'PYTHONPATH'
        }
        | more,
    )
    if done.returncode:
        raise AssertionError(f'{command}:\n{done.stdout}')
    return done.stdout


def pip(*arguments, **more):
    """Run pip."""
    return run(
        sys.executable,
        '-m',
        'pip',
        '--disable-pip-version-check',
        *arguments,
        **more,
    )


def once(name, make):
    """Return the folder that ``make`` fills, for all tests here."""
    if name not in _made:
        place = Path(tempfile.mkdtemp(prefix=f'loading-{name}-'))
        make(place)
        _made[name] = place
    return _made[name]


def dependencies(place):
    """Link what is neither Nova nor ours."""
    for entry in SITE.iterdir():
        name = entry.name
        if name in ('nova', 'etc') or name.startswith(UNDER_TEST):
            continue
        if entry.suffix != '.pth':
            (place / name).symlink_to(entry)


def source(place):
    """Copy our source, so that nothing is built in the checkout."""
    for pattern in ('*.py', '*.cfg', '*.toml', '*.rst', '*.txt', 'LICENSE'):
        for path in ROOT.glob(pattern):
            shutil.copy(path, place)
    for name in ('kvm_tuning', 'etc'):
        shutil.copytree(
            ROOT / name,
            place / name,
            ignore=shutil.ignore_patterns('__pycache__'),
        )


def wheel(place):
    """Build our wheel."""
    copy = once('source', source)
    pip(
        'wheel',
        '-q',
        '--no-deps',
        '--no-build-isolation',
        '-w',
        place,
        copy,
        **OURS,
    )


def nova_source(place):
    """Fetch Nova's source."""
    wanted = f'nova=={version.version_string()}'
    pip('download', '-q', '--no-deps', '--no-binary=nova', '-d', place, wanted)
    (archive,) = place.glob('nova-*.tar.gz')
    shutil.unpack_archive(archive, place)


class LoadingTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.place = Path(self.useFixture(fixtures.TempDir()).path)
        self.python = self.place / 'venv/bin/python'
        run(sys.executable, '-m', 'venv', '--without-pip', self.place / 'venv')
        (self.site,) = self.place.glob('venv/lib/python3*/site-packages')
        self.path(once('dependencies', dependencies))

    def path(self, folder):
        """Let a folder be on the environment's path."""
        with (self.site / 'more.pth').open('a') as file:
            file.write(f'{folder}\n')

    def install(self, *what, **more):
        # pip is the one of the environment that the tests run in.
        pip(
            f'--python={self.python}',
            'install',
            '-q',
            '--no-deps',
            '--no-build-isolation',
            *what,
            **more,
        )

    def our_wheel(self):
        (built,) = once('wheel', wheel).glob('kvm_tuning-*.whl')
        self.install(built)

    def our_checkout(self):
        self.checkout = once('source', source)
        self.install('-e', self.checkout, **OURS)

    def nova_wheel(self, site=None):
        """Put what the wheel has installed here into a folder."""
        for entry in (Path(nova.__file__).parent, *SITE.glob('nova-*.dist*')):
            ((site or self.site) / entry.name).symlink_to(entry)

    def nova_checkout(self):
        try:
            place = once('nova', nova_source)
        except AssertionError as error:
            self.skipTest(f'Nova has no source here: {error}')
        (self.nova,) = (p for p in place.iterdir() if p.is_dir())
        self.install('-e', self.nova)

    def load(self):
        """Start nova-compute; return what it has loaded."""
        conf = self.place / 'nova.conf'
        conf.write_text(CONF.format(place=self.place))
        said = run(self.python, '-I', PROBE, '--config-file', conf)
        found = json.loads(said.splitlines()[-1])
        self.assertEqual('KvmTuningDriver', found['driver'])
        self.assertEqual(
            'kvm_tuning.adapters.nova.compute.vif', found['vif_driver']
        )
        return found

    def test_both_are_wheels(self):
        self.nova_wheel()
        self.our_wheel()
        found = self.load()
        self.assertIn(str(self.site), found['ours'])

    def test_both_are_editable(self):
        """As DevStack installs them."""
        self.nova_checkout()
        self.our_checkout()
        found = self.load()
        self.assertIn(str(self.nova), found['nova'])
        self.assertIn(str(self.checkout), found['ours'])

    def test_nova_is_editable_and_we_are_a_wheel(self):
        self.nova_checkout()
        self.our_wheel()
        found = self.load()
        self.assertIn(str(self.nova), found['nova'])
        self.assertIn(str(self.site), found['ours'])

    def test_nova_is_a_wheel_and_we_are_editable(self):
        self.nova_wheel()
        self.our_checkout()
        found = self.load()
        self.assertIn(str(self.checkout), found['ours'])

    def test_nova_is_a_distributions_package(self):
        """Nova is in another folder of the path than we are."""
        packages = self.place / 'dist-packages'
        packages.mkdir()
        self.nova_wheel(packages)
        self.path(packages)
        self.our_wheel()
        found = self.load()
        self.assertIn(str(self.site), found['ours'])
