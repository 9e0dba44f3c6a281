import os

from tests.unit.cmd.base import CommandTest


class HostileTest(CommandTest):
    """What is no input gives one message and no traceback."""

    def setUp(self):
        super().setUp()
        self.root = self.host()
        large = os.path.join(self.folder, 'large')
        with open(large, 'wb') as file:
            file.truncate(100 * 1024 * 1024)
        self.files = {
            'absent': os.path.join(self.folder, 'absent'),
            'directory': self.folder,
            'large': large,
            'binary': self.write('binary', bytes(range(256)) * 64),
            'empty': self.write('empty', ''),
            'name\0': 'nul\0name',
            'other': self.write('other', '[1, {"a": 2}]'),
            'deep': self.write('deep', '[' * 100_000),
            'entities': self.write(
                'entities',
                '<!DOCTYPE domain [<!ENTITY a SYSTEM "/etc/passwd">]>'
                '<domain><name>&a;</name></domain>',
            ),
        }

    def check(self, *argv):
        done = self.run_command(*argv)
        self.assertIn(done.status, (1, 2), (argv, done))
        self.assertNotIn('Traceback', done.stderr)
        self.assertNotIn('InternalError', done.stderr)
        return done

    def test_a_domain(self):
        for name, path in self.files.items():
            done = self.check(
                'guest', 'plan', '--flavor', self.flavor(),
                '--xml', path, '--root', self.root,
            )  # fmt: skip
            self.assertEqual('', done.stdout, name)
            self.assertEqual(1, done.stderr.count('\n'), (name, done.stderr))

    def test_a_flavor_and_an_image(self):
        domain_path = self.domain()
        for name, path in self.files.items():
            for argv in (
                ('--flavor', path),
                ('--flavor', self.flavor(), '--image', path),
            ):
                done = self.check(
                    'guest', 'plan', *argv, '--xml', domain_path,
                    '--root', self.root,
                )  # fmt: skip
                self.assertEqual('', done.stdout, name)
                self.assertEqual(1, done.stderr.count('\n'), done.stderr)

    def test_a_flavor_to_check(self):
        for path in self.files.values():
            self.check('flavor', 'check', path)
            self.check('flavor', 'check', self.flavor(), '--image', path)

    def test_a_configuration(self):
        for name, path in self.files.items():
            # Nothing at all, and a section without options, are valid.
            if name in ('empty', 'other'):
                continue
            done = self.run_command(
                '--config-file', path, 'flavor', 'check', self.flavor()
            )
            self.assertEqual((3, ''), (done.status, done.stdout), name)
            self.assertIn('ConfigInvalid', done.stderr)
            self.assertEqual(1, done.stderr.count('\n'), done.stderr)

    def test_a_libvirt_that_is_not_there(self):
        try:
            import libvirt  # noqa: F401
        except ImportError:
            self.skipTest('libvirt-python is not installed')
        done = self.run_command(
            'guest', 'list', '--connect', 'nothing:///system'
        )
        self.assertEqual((3, ''), (done.status, done.stdout))
        self.assertIn('LibvirtFailed: ', done.stderr)
        self.assertEqual(1, done.stderr.count('\n'))
