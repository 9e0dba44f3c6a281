"""The hook script runs, the queue is read, and files come and go."""

import os
import subprocess

import fixtures
import testtools

from kvm_tuning.core.exceptions import InventoryUnreadable, SettingRejected
from kvm_tuning.host.access.system import System
from kvm_tuning.host.guests import libvirt_hooks, start_queue
from tests.fixtures.prepared import snapshot

PROGRAM = '/opt/50%/bin/kvm-tuning'


class HooksTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.root = self.useFixture(fixtures.TempDir()).path
        self.system = System(self.root)

    def install(self):
        return libvirt_hooks.install(self.system, PROGRAM)

    def put(self, path, text):
        full = f'{self.root}/{path}'
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, 'w') as file:
            file.write(text)


class InstallTest(HooksTest):
    def test_an_error_names_the_whole_path(self):
        path = f'{self.root}/{libvirt_hooks.SCRIPT}'
        os.makedirs(os.path.dirname(path))
        os.symlink('/nonexistent', path)
        error = self.assertRaises(
            OSError, self.system.replace, libvirt_hooks.SCRIPT, 'text'
        )
        self.assertEqual(f'/{libvirt_hooks.SCRIPT}', error.filename)

    def test_installed_once_and_removed(self):
        written = self.install()
        self.assertEqual(sorted(snapshot(self.root)), sorted(written))
        self.assertEqual([], self.install())
        script = f'{self.root}/{libvirt_hooks.SCRIPT}'
        self.assertEqual(0o755, os.stat(script).st_mode & 0o777)
        units = snapshot(self.root)
        service = units['etc/systemd/system/kvm-tuning-reconcile.service']
        self.assertIn(
            'ExecStart=/opt/50%%/bin/kvm-tuning guest reconcile --queue '
            '/run/kvm-tuning/queue\n',
            service,
        )
        removed = libvirt_hooks.remove(self.system)
        self.assertEqual(sorted(written), sorted(removed))
        self.assertEqual({}, snapshot(self.root))
        self.assertEqual([], libvirt_hooks.remove(self.system))

    def test_what_differs_is_written_anew(self):
        self.install()
        script = f'{self.root}/{libvirt_hooks.SCRIPT}'
        os.chmod(script, 0o644)
        self.assertEqual([libvirt_hooks.SCRIPT], self.install())
        self.assertEqual(0o755, os.stat(script).st_mode & 0o777)
        other = libvirt_hooks.install(self.system, '/usr/bin/kvm-tuning')
        self.assertEqual(
            ['etc/systemd/system/kvm-tuning-reconcile.service'], other
        )

    def test_somebody_elses_file_is_left(self):
        for file in libvirt_hooks.files(PROGRAM):
            self.put(file.path, '#!/bin/sh\necho mine\n')
            error = self.assertRaises(SettingRejected, self.install)
            self.assertIn(file.path, str(error))
            self.assertRaises(
                SettingRejected, libvirt_hooks.remove, self.system
            )
            self.assertEqual(1, len(snapshot(self.root)))
            os.unlink(f'{self.root}/{file.path}')

    def test_no_link_is_followed(self):
        away = self.useFixture(fixtures.TempDir()).path
        os.makedirs(f'{self.root}/etc/systemd/system')
        os.symlink(
            away, f'{self.root}/etc/systemd/system/multi-user.target.wants'
        )
        self.assertRaises(SettingRejected, self.install)
        self.assertEqual([], os.listdir(away))

    def test_systemd_takes_the_units(self):
        self.install()
        units = [
            f'{self.root}/etc/systemd/system/kvm-tuning-reconcile.{kind}'
            for kind in ('path', 'service')
        ]
        self.put('opt/50%/bin/kvm-tuning', '')
        complaint = 'Unknown|Invalid|Failed to parse'
        self.assertNotRegex(self.verified(units), complaint)
        # Which it does say of what is wrong
        with open(units[1], 'a') as file:
            file.write('[Service]\nNonsense=1\n')
        self.assertRegex(self.verified(units), complaint)

    def verified(self, units):
        """Return what systemd-analyze says of our units."""
        try:
            done = subprocess.run(
                ['systemd-analyze', 'verify', *units],
                capture_output=True,
                text=True,
                timeout=60,
            )
        except FileNotFoundError:
            self.skipTest('no systemd-analyze')
        return '\n'.join(
            line
            for line in done.stderr.splitlines()
            if 'kvm-tuning-reconcile' in line
        )


class ScriptTest(HooksTest):
    """The real script, with its queue elsewhere."""

    def setUp(self):
        super().setUp()
        self.install()
        self.queue = f'{self.root}/run/queue'
        with open(f'{self.root}/{libvirt_hooks.SCRIPT}') as file:
            text = file.read()
        self.script = f'{self.root}/script'
        with open(self.script, 'w') as file:
            file.write(text.replace(libvirt_hooks.QUEUE, self.queue))
        os.chmod(self.script, 0o755)

    def call(self, guest, operation, phase='begin'):
        return subprocess.run(
            [self.script, guest, operation, phase, '-'],
            input='<domain/>',
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )

    def events(self):
        return [
            (event.guest, event.operation)
            for event in start_queue.read(self.queue)
        ]

    def test_events_come_in_order_and_nothing_is_said(self):
        name = "web'1 $(reboot)"
        for guest, operation in (
            (name, 'prepare'),
            (name, 'start'),
            (name, 'started'),
            ('db', 'release'),
            ('db', 'migrate'),
        ):
            done = self.call(guest, operation)
            # libvirt would take what is printed for the guest's XML.
            self.assertEqual(('', ''), (done.stdout, done.stderr))
        self.assertEqual(
            [(name, 'prepare'), (name, 'started'), ('db', 'release')],
            self.events(),
        )
        self.assertEqual(0o700, os.stat(self.queue).st_mode & 0o777)
        self.assertEqual(['queue'], os.listdir(os.path.dirname(self.queue)))

    def test_a_queue_that_cannot_be_made_stops_no_guest(self):
        self.put('run', 'a file')
        self.assertEqual('', self.call('web', 'started').stderr)

    def test_who_will_start(self):
        for guest, operation in (
            ('web', 'prepare'),
            ('db', 'prepare'),
            ('db', 'release'),
        ):
            self.call(guest, operation)
        found = start_queue.read(self.queue)
        self.assertEqual({'web'}, start_queue.starting(found))
        start_queue.remove(found)
        start_queue.remove(found)
        self.assertEqual([], self.events())


class QueueTest(HooksTest):
    def test_none(self):
        self.assertEqual([], start_queue.read(f'{self.root}/none'))

    def test_no_directory(self):
        self.put('queue', '')
        self.assertRaises(
            InventoryUnreadable, start_queue.read, f'{self.root}/queue'
        )

    def test_what_is_no_event(self):
        os.makedirs(f'{self.root}/queue/folder')
        os.mkfifo(f'{self.root}/queue/pipe')
        os.symlink('/etc/passwd', f'{self.root}/queue/link')
        self.put('queue/bytes', 'name only')
        found = start_queue.read(f'{self.root}/queue')
        self.assertIn('name only', [event.guest for event in found])
        self.assertNotIn('root', ''.join(event.guest for event in found))

    def test_what_is_no_event_goes_with_the_others(self):
        # Otherwise systemd would start one run after the other.
        os.makedirs(f'{self.root}/queue/folder/more')
        os.symlink('/etc/passwd', f'{self.root}/queue/link')
        os.mkfifo(f'{self.root}/queue/pipe')
        self.put('queue/long', 'x' * (start_queue.MAX_BYTES + 1))
        self.put('queue/bytes', 'we\x1bb\nprepare\n')
        found = start_queue.read(f'{self.root}/queue')
        self.assertEqual({''}, {event.guest for event in found})
        self.assertEqual(set(), start_queue.starting(found))
        start_queue.remove(found)
        self.assertEqual([], os.listdir(f'{self.root}/queue'))

    def test_a_strangers_queue(self):
        self.put('queue/event', 'web\nprepare\n')
        os.chmod(f'{self.root}/queue', 0o777)
        error = self.assertRaises(
            InventoryUnreadable, start_queue.read, f'{self.root}/queue'
        )
        self.assertIn('everybody', str(error))
