"""Files and devices below a guest's disks."""

import os
import shutil
import subprocess

import fixtures
import testtools
from testtools.matchers import Contains, Equals, Is

from kvm_tuning.core.site import Probe
from kvm_tuning.host.probes import qcow2, storage

_MIB = 1 << 20


class StorageTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        directory = self.useFixture(fixtures.TempDir()).path
        self.path = os.path.join(directory, 'image')

    def put(self, content: bytes, size: int | None = None) -> None:
        with open(self.path, 'wb') as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
            if size is not None:
                stream.truncate(size)

    def allocated(self) -> Probe:
        found = storage.probe(self.path)
        self.assertThat(found.kind, Equals('file'))
        return found.allocated


class TestStorage(StorageTest):
    def test_whole_file(self):
        self.put(b'x' * _MIB)
        self.assertThat(self.allocated().works, Is(True))

    def test_preallocated_file(self):
        self.put(b'')
        with open(self.path, 'r+b') as stream:
            try:
                os.posix_fallocate(stream.fileno(), 0, _MIB)
            except OSError as error:
                self.skipTest(f'posix_fallocate: {error.strerror}')
        self.assertThat(self.allocated().works, Is(True))

    def test_sparse_file(self):
        self.put(b'', size=_MIB)
        probe = self.allocated()
        self.assertThat(probe.works, Is(False))
        self.assertThat(probe.reason, Contains(f'0 of {_MIB} bytes allocated'))

    def test_partly_written_file(self):
        self.put(b'x' * 65536, size=_MIB)
        self.assertThat(self.allocated().works, Is(False))

    def test_empty_file(self):
        self.put(b'')
        self.assertThat(self.allocated().works, Is(True))

    def test_direct(self):
        self.put(b'x' * 100)
        try:
            os.close(os.open(self.path, os.O_RDONLY | os.O_DIRECT))
        except OSError:
            self.assertThat(storage.probe(self.path).direct.works, Is(False))
        else:
            self.assertThat(storage.probe(self.path).direct.works, Is(True))

    def test_direct_on_a_file_system_without_it(self):
        # procfs has no direct I/O.
        found = storage.probe('/proc/self/status')
        self.assertThat(found.direct.works, Is(False))
        self.assertThat(found.direct.reason, Contains('Invalid argument'))

    def test_link_to_a_file(self):
        self.put(b'x' * 4096)
        link = f'{self.path}.link'
        os.symlink(self.path, link)
        self.assertThat(storage.probe(link).allocated.works, Is(True))

    def test_no_file(self):
        found = storage.probe(self.path)
        for probe in (found.direct, found.allocated):
            self.assertThat(probe.works, Is(None))
            self.assertThat(probe.reason, Contains('No such file'))

    def test_neither_file_nor_block_device(self):
        os.mkfifo(self.path)
        for path in (self.path, os.path.dirname(self.path), '/dev/null'):
            found = storage.probe(path)
            for probe in (found.direct, found.allocated):
                self.assertThat(probe.works, Is(False))
                self.assertThat(probe.reason, Contains('neither'))

    def test_network(self):
        found = storage.probe('rbd-pool/image')
        self.assertThat(found.kind, Equals('network'))
        self.assertThat(found.direct.works, Is(None))

    def test_block_device(self):
        for name in sorted(os.listdir('/sys/class/block')):
            path = f'/dev/{name}'
            if os.path.exists(path):
                found = storage.probe(path)
                self.assertThat(found.kind, Equals('block'))
                self.assertThat(found.allocated.works, Is(True))
                return
        self.skipTest('no block device here')


class TestQcow2(StorageTest):
    """Images that qemu-img itself makes."""

    def setUp(self) -> None:
        super().setUp()
        if shutil.which('qemu-img') is None:
            self.skipTest('qemu-img is not here')

    def create(self, *options: str) -> None:
        subprocess.run(
            ['qemu-img', 'create', '-q', '-f', 'qcow2', *options],
            check=True,
            timeout=60,
        )

    def test_growing(self):
        self.create(self.path, '64M')
        self.assertThat(self.allocated().works, Is(False))

    def test_metadata_alone(self):
        self.create('-o', 'preallocation=metadata', self.path, '4M')
        self.assertThat(self.allocated().works, Is(False))

    def test_full(self):
        for option in ('full', 'falloc'):
            for more in (
                'cluster_size=64k',
                'cluster_size=2M',
                'compat=0.10',
                'refcount_bits=1',
                'refcount_bits=64',
                'extended_l2=on,cluster_size=128k',
            ):
                self.create(
                    '-o', f'preallocation={option},{more}', self.path, '9M'
                )
                self.assertThat(
                    (more, self.allocated().works), Equals((more, True))
                )

    def test_all_but_one_cluster(self):
        self.create(self.path, '4M')
        self.write('0', '4032k')
        self.assertThat(self.allocated().works, Is(False))
        self.write('4032k', '64k')
        self.assertThat(self.allocated().works, Is(True))

    def write(self, offset: str, length: str) -> None:
        if shutil.which('qemu-io') is None:
            self.skipTest('qemu-io is not here')
        subprocess.run(
            ['qemu-io', '-c', f'write {offset} {length}', self.path],
            check=True,
            timeout=60,
            stdout=subprocess.DEVNULL,
        )

    def test_snapshot(self):
        self.create('-o', 'preallocation=full', self.path, '4M')
        subprocess.run(
            ['qemu-img', 'snapshot', '-c', 'one', self.path],
            check=True,
            timeout=60,
        )
        probe = self.allocated()
        self.assertThat(probe.works, Is(False))
        self.assertThat(probe.reason, Contains('snapshots'))

    def test_overlay(self):
        base = f'{self.path}.base'
        self.create(base, '4M')
        self.create('-b', base, '-F', 'qcow2', self.path)
        probe = self.allocated()
        self.assertThat(probe.works, Is(False))
        self.assertThat(probe.reason, Contains('a backing file'))

    def test_data_elsewhere(self):
        data = f'{self.path}.raw'
        self.create('-o', f'data_file={data}', self.path, '4M')
        probe = self.allocated()
        self.assertThat(probe.works, Is(False))
        self.assertThat(probe.reason, Contains('another file'))


class TestRawImages(StorageTest):
    """A raw image's first bytes are the guest's own."""

    def test_pretends_to_be_qcow2(self):
        self.put((b'QFI\xfb' + bytes([0, 0, 0, 3])).ljust(65536, b'\xff'))
        self.assertThat(self.allocated().works, Is(True))

    def test_pretends_and_is_sparse(self):
        # 512 bytes of disk in clusters of 2 MiB, which the file holds.
        header = b''.join(
            (
                b'QFI\xfb',
                (2).to_bytes(4),
                bytes(12),
                (21).to_bytes(4),
                (512).to_bytes(8),
                bytes(72),
            )
        )
        self.put(header.ljust(16 * _MIB, b'x'), size=20 * _MIB)
        self.assertThat(self.allocated().works, Is(False))

    def test_too_short_for_a_header(self):
        self.put(b'QFI\xfb')
        self.assertThat(self.allocated().works, Is(True))

    def test_unknown(self):
        found = storage.unknown('/images/a', 'because')
        self.assertThat(found.direct, Equals(Probe(None, 'because')))
        self.assertThat(found.kind, Equals('file'))


class WholeTest(testtools.TestCase):
    """How long an image is with all of its clusters allocated."""

    def test_tables_and_counts(self):
        mib, cluster = 1 << 20, 1 << 16
        for virtual, bits, entry, clusters in (
            # Data, then header, L1, refcount table, L2 tables, refcounts
            (mib, 16, 8, 16 + 3 + 1 + 1),
            (512 * mib, 16, 8, 8192 + 3 + 1 + 1),
            (512 * mib, 16, 16, 8192 + 3 + 2 + 1),
            (513 * mib, 16, 8, 8208 + 3 + 2 + 1),
            (2048 * mib, 16, 8, 32768 + 3 + 4 + 2),
            (2048 * mib, 1, 8, 32768 + 3 + 4 + 1),
            (mib + 1, 16, 8, 17 + 3 + 1 + 1),
        ):
            header = qcow2.Header(
                virtual, cluster, bits, entry, False, 0, False
            )
            self.assertThat(
                qcow2._whole_bytes(header), Equals(clusters * cluster)
            )
