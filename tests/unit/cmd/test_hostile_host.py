"""Trees that nobody means well with: one message, never a traceback."""

import os
import shutil

import fixtures
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
import testtools
from testtools.matchers import Contains, Not

from tests.fixtures import killed, whole_host
from tests.fixtures.command import Command

_BYTES = st.one_of(
    st.binary(max_size=40),
    st.text('0123456789abcdefx,-[] \n:={}"', max_size=40).map(str.encode),
)


class TestHostile(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.origin = self.useFixture(fixtures.TempDir(killed.SCRATCH)).path
        kernel = whole_host.build(self.origin)
        kernel.put('proc/net/if_inet6', '0 1 2 3 4 eth0')
        kernel.put('proc/net/route', 'Iface\neth0 0 0 0 0 0 0 0')
        kernel.put('run/libvirt/qemu/web.xml', '<domstatus/>')
        kernel.put('etc/netplan/a.yaml', 'network: {}')
        kernel.put(
            'var/lib/kvm-tuning/journal.json', '{"version": 1, "entries": []}'
        )
        self.files = sorted(
            os.path.join(base, name)
            for base, _names, names in os.walk(self.origin)
            for name in names
            if os.path.isfile(os.path.join(base, name))
            and not os.path.islink(os.path.join(base, name))
        )
        self.command = self.useFixture(Command())

    @given(st.data())
    @settings(
        max_examples=120,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    def test_any_bytes_in_any_file(self, data):
        path = data.draw(st.sampled_from(self.files))
        content = data.draw(_BYTES)
        kept = f'{path}.kept'
        os.rename(path, kept)
        try:
            with open(path, 'wb') as stream:
                stream.write(content)
            for verb in ('plan', 'status', 'ready', 'fragment'):
                done = self.command.run('host', verb, '--root', self.origin)
                said = f'{path} {content!r} {verb}'
                self.assertThat(
                    done.stderr, Not(Contains('InternalError')), said
                )
                self.assertIn(done.status, (0, 1, 3), said)
        finally:
            shutil.move(kept, path)
