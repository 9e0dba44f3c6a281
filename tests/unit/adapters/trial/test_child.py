"""What a libvirt that is tried answers, by a libvirt module of our own."""

import io
import json
import resource
import types

import fixtures
import testtools

from kvm_tuning.adapters.trial import child


class RefusedError(Exception):
    """libvirt's error."""


class Libvirt(types.ModuleType):
    """A libvirt that takes each document but ``bad``, and notes its calls."""

    libvirtError = RefusedError

    def __init__(self, version=9_000_000, opens=True, forgets=True):
        super().__init__('libvirt')
        self.calls = []
        self.version, self.opens, self.forgets = version, opens, forgets

    def registerErrorHandler(self, handler, context):
        self.calls.append('quiet')
        assert handler(context, None) is None

    def virEventRegisterDefaultImpl(self):
        self.calls.append('loop')

    def open(self, uri):
        self.calls.append(uri)
        if not self.opens:
            raise RefusedError('no  driver\nhere')
        return self

    def getLibVersion(self):
        return self.version

    def defineXML(self, text):
        if text == 'bad':
            raise RefusedError('XML error:\n bad')
        return self

    def XMLDesc(self, flags):
        return f'stored with {flags}'

    def undefineFlags(self, flags):
        self.calls.append(flags)
        if not self.forgets:
            raise RefusedError('busy')


class ChildTest(testtools.TestCase):
    def serve(self, libvirt, *documents):
        """Return the status and the answers to documents."""
        answers = io.StringIO()
        self.limits = []
        lines = ''.join(f'{json.dumps({"xml": x})}\n' for x in documents)
        for name, value in (
            ('sys.stdin', io.StringIO(lines)),
            ('os.dup', lambda handle: handle),
            ('os.fdopen', lambda _handle, _mode: answers),
            ('os.dup2', lambda *_handles: None),
            (
                'resource.getrlimit',
                lambda which: (
                    0,
                    100
                    if which == resource.RLIMIT_NOFILE
                    else resource.RLIM_INFINITY,
                ),
            ),
            ('resource.setrlimit', lambda *args: self.limits.append(args)),
        ):
            self.useFixture(fixtures.MonkeyPatch(name, value))
        module = {'libvirt': libvirt}
        self.useFixture(fixtures.MonkeyPatch('sys.modules', module))
        status = child.main('/root')
        lines = answers.getvalue().splitlines()
        return status, [json.loads(line) for line in lines]

    def test_documents(self):
        libvirt = Libvirt()
        status, answers = self.serve(libvirt, 'good', 'bad', 'good')
        self.assertEqual(0, status)
        stored = {'xml': 'stored with 3', 'error': None}
        refused = {'xml': None, 'error': 'XML error: bad'}
        self.assertEqual(
            [{'version': 9_000_000}, stored, refused, stored], answers
        )
        # The NVRAM and the TPM of a guest stay
        self.assertEqual(
            ['quiet', 'loop', 'qemu:///embed?root=/root', 72, 72],
            libvirt.calls,
        )

    def test_a_libvirt_that_cannot_keep_a_tpm(self):
        for version, flags in ((8_009_000, 72), (8_008_999, 8)):
            libvirt = Libvirt(version)
            self.serve(libvirt, 'good')
            self.assertEqual(flags, libvirt.calls[-1])

    def test_one_that_does_not_open(self):
        self.assertEqual(
            (1, [{'error': 'no driver here'}]),
            self.serve(Libvirt(opens=False)),
        )

    def test_none(self):
        status, answers = self.serve(None)
        self.assertEqual(1, status)
        (answer,) = answers
        self.assertIn('libvirt cannot be imported: ', answer['error'])

    def test_a_leftover_ends_it(self):
        status, answers = self.serve(Libvirt(forgets=False), 'good', 'good')
        self.assertEqual(1, status)
        self.assertEqual(2, len(answers))

    def test_limits(self):
        self.serve(Libvirt())
        gib = 1 << 30
        self.assertEqual(
            {
                (resource.RLIMIT_AS, (8 * gib, 8 * gib)),
                (resource.RLIMIT_CPU, (600, 600)),
                (resource.RLIMIT_FSIZE, (gib // 16, gib // 16)),
                (resource.RLIMIT_CORE, (0, 0)),
                # Not beyond what the parent has
                (resource.RLIMIT_NOFILE, (100, 100)),
            },
            set(self.limits),
        )
