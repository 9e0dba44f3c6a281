"""A recorded guest, audited: all is kept, then one thing at a time is not."""

from hypothesis import given, settings
from hypothesis import strategies as st
import testtools

from kvm_tuning.core import domain
from kvm_tuning.core.audit import compare
from kvm_tuning.core.audit.finding import Severity
from kvm_tuning.core.exceptions import KvmTuningError
from kvm_tuning.core.ledger import Claim, Ledger
from kvm_tuning.host.guests import observe
from tests.fixtures.fake_host import FakeHost
from tests.fixtures.promises import DISK, NIC, absent, promise, receipt
from tests.fixtures.recorded_guest import PID, RecordedGuest

TAP = NIC.format('52:54:00:00:00:01')
SCSI = "devices/controller[@type='scsi'][@index='0']"

#: Everything that the recorded guest keeps.
PROMISES = (
    promise("cputune/vcpupin[@vcpu='0']", cpuset='0'),
    promise("cputune/vcpupin[@vcpu='1']", cpuset='1'),
    promise('cputune/emulatorpin', cpuset='0'),
    promise("cputune/iothreadpin[@iothread='1']", cpuset='1'),
    promise("cputune/iothreadpin[@iothread='2']", cpuset='0'),
    promise('vcpu', '2', current=None, placement='static'),
    promise('iothreads', '2'),
    promise('memory', '192', unit='MiB'),
    promise('currentMemory', '192', unit='MiB'),
    promise(
        "memoryBacking/hugepages/page[@size='2048']",
        unit='KiB',
        nodeset='0',
    ),
    promise('memoryBacking/nosharepages'),
    promise('numatune/memory', mode='strict', nodeset='0'),
    promise("numatune/memnode[@cellid='0']", mode='strict', nodeset='0'),
    promise('cpu/topology', sockets='1', dies='1', cores='2', threads='1'),
    promise("cpu/numa/cell[@id='0']", cpus='0', memory='131072', unit='KiB'),
    promise("cpu/numa/cell[@id='1']", cpus='1', memory='64', unit='MiB'),
    promise(
        DISK.format('vda'), cache='none', io='native', iothread='1', queues='2'
    ),
    promise(
        DISK.format('vdb'), cache='writeback', io='io_uring', iothread='2'
    ),
    promise(DISK.format('sda'), cache='unsafe', io='threads'),
    promise("devices/disk[target/@dev='vda']/target", bus='virtio'),
    promise("devices/disk[target/@dev='sda']/target", bus='scsi'),
    absent("devices/disk[target/@dev='sda']/address"),
    absent(DISK.format('vda') + '/iothreads'),
    promise(SCSI, model='virtio-scsi'),
    promise(f'{SCSI}/driver', iothread='2', queues='2'),
    promise(f'{TAP}/model', type='virtio'),
    promise(
        f'{TAP}/driver',
        name='qemu',
        queues='2',
        rx_queue_size='512',
        tx_queue_size='256',
    ),
    promise(NIC.format('52:54:00:00:00:02') + '/model', type='e1000'),
)


class AuditTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.guest = self.useFixture(RecordedGuest())
        self.inventory = FakeHost(cells=1, cores=4, threads=1).inventory()

    def audit(self, *promises, others=None, **more):
        observed = observe.observe(PID, self.guest.xml, str(self.guest.root))
        return compare.compare(
            domain.read(self.guest.xml),
            receipt(*(promises or PROMISES), **more),
            observed,
            self.inventory,
            others or Ledger(),
        )

    def broken(self, *promises, **more):
        """Return the address, severity, found and code of what is not fine."""
        return [
            (f.address, f.severity.value, f.found, f.code)
            for f in self.audit(*promises, **more)
            if f.severity not in (Severity.OK, Severity.INFO)
        ]


class RecordedAuditTest(AuditTest):
    def test_all_is_kept(self):
        findings = self.audit()
        self.assertEqual([], self.broken())
        kept = [f for f in findings if f.severity is Severity.OK]
        # One for each value, a unit being part of its size.
        values = sum(len(getattr(p, 'wanted', ())) or 1 for p in PROMISES)
        units = sum('unit' in getattr(p, 'wanted', ()) for p in PROMISES)
        self.assertEqual(values - units, len(kept))

    def test_transparent_huge_pages_are_told(self):
        (row,) = [f for f in self.audit() if f.severity is Severity.INFO]
        self.assertEqual('20 of 20 MiB of its RAM', row.found)

    def test_a_vcpu_is_moved(self):
        self.guest.thread(100, 'CPU 1/TCG', '0-1')
        self.assertEqual(
            [(
                "cputune/vcpupin[@vcpu='1']/@cpuset",
                'error',
                '0-1 (thread 100 CPU 1/TCG)',
                'vcpu-affinity',
            )],
            self.broken(),
        )  # fmt: skip

    def test_an_iothread_is_moved(self):
        self.guest.thread(95, 'IO iothread2', '2-3')
        ((address, _severity, found, code),) = self.broken()
        self.assertEqual("cputune/iothreadpin[@iothread='2']/@cpuset", address)
        self.assertEqual('2-3 (thread 95 IO iothread2)', found)
        self.assertEqual('iothread-affinity', code)

    def test_emulator_threads_are_moved(self):
        for tid, name in (
            (90, 'qemu-system-x86'),
            (98, 'IO mon_iothread'),
            (102, f'vhost-{PID}'),
            (101, 'worker'),
        ):
            before = self.guest.process / 'task' / str(tid) / 'status'
            text = before.read_text() if before.exists() else None
            self.guest.thread(tid, name, '3')
            self.assertEqual(
                [(
                    'cputune/emulatorpin/@cpuset',
                    'error',
                    f'3 (thread {tid} {name})',
                    'emulator-affinity',
                )],
                self.broken(),
            )  # fmt: skip
            self.guest.thread(tid, name, '0')
            self.assertTrue(text is None or 'list:\t0' in text)

    def test_a_worker_may_be_where_an_iothread_is(self):
        self.guest.thread(101, 'worker', '1')
        self.assertEqual([], self.broken())

    def test_a_thread_is_gone(self):
        self.guest.thread(95, 'IO iothread9', '0')
        codes = {code for _a, _s, _f, code in self.broken()}
        self.assertEqual({'iothread-affinity'}, codes)

    def test_small_pages_instead_of_huge_ones(self):
        self.guest.edit(
            'smaps', 'KernelPageSize:     2048 kB', 'KernelPageSize: 4 kB'
        )
        self.assertEqual(
            [('error', '128 MiB in pages of 4 KiB', 'page-size')],
            [b[1:] for b in self.broken()],
        )

    def test_memory_on_another_cell(self):
        self.guest.edit('numa_maps', 'dirty=64 N0=64', 'dirty=64 N0=60 N1=4')
        broken = self.broken()
        self.assertEqual({'memory-cell'}, {b[3] for b in broken})
        self.assertIn('8 MiB on 1', broken[0][2])

    def test_another_policy(self):
        self.guest.edit(
            'numa_maps', '7fc403e00000 bind:0', '7fc403e00000 default'
        )
        self.assertEqual(
            {'memory-policy', 'memory-cell'}, {b[3] for b in self.broken()}
        )

    def test_without_numa_maps_one_cell_needs_no_proof(self):
        (self.guest.process / 'numa_maps').unlink()
        broken = self.broken()
        self.assertEqual({'unknown'}, {b[1] for b in broken})
        self.assertEqual({'memory-policy', 'memory-cell'}, {
            b[3] for b in broken
        })  # fmt: skip

    def test_ksm_may_merge(self):
        self.guest.edit('smaps', 'dc ac dd hg', 'dc ac dd mg hg')
        ((address, severity, found, code),) = self.broken()
        self.assertEqual('memoryBacking/nosharepages', address)
        self.assertEqual('KSM may merge', found)
        self.assertEqual(('error', 'page-sharing'), (severity, code))

    def test_pages_are_merged(self):
        self.guest.edit('ksm_stat', 'merging_pages 0', 'merging_pages 512')
        findings = self.audit(PROMISES[10])
        self.assertIn('512 pages are merged', findings[0].found)
        self.assertEqual('pages-merged', findings[-1].code)

    def test_page_sharing_is_wanted(self):
        self.guest.edit_xml('<nosharepages/>', '')
        wanted = absent('memoryBacking/nosharepages')
        ((_a, _s, found, _c),) = self.broken(wanted)
        self.assertEqual('KSM may not merge', found)
        self.guest.edit('smaps', 'dc ac dd hg', 'dc ac dd mg hg')
        self.assertEqual([], self.broken(wanted))

    def test_allocation(self):
        self.guest.edit_xml(
            '<nosharepages/>', "<nosharepages/><allocation mode='immediate'/>"
        )
        wanted = promise('memoryBacking/allocation', mode='immediate')
        ((_a, _s, found, code),) = self.broken(wanted)
        self.assertEqual('148 of 192 MiB allocated', found)
        self.guest.edit(
            'smaps', 'Rss:               20480', 'Rss:               65536'
        )
        self.assertEqual([], self.broken(wanted))

    def test_locked(self):
        self.guest.edit_xml('<nosharepages/>', '<nosharepages/><locked/>')
        wanted = promise('memoryBacking/locked')
        self.assertEqual('locked', self.broken(wanted)[0][3])

    def test_a_disk_through_the_page_cache(self):
        self.guest.descriptor(22, '/srv/guest/disk0.img', 'flags:\t02100002')
        ((address, severity, found, code),) = self.broken()
        self.assertEqual(
            "devices/disk[target/@dev='vda']/driver/@cache", address
        )
        self.assertEqual(('error', 'no O_DIRECT', 'disk-cache'), (
            severity, found, code,
        ))  # fmt: skip

    def test_a_disk_without_write_cache(self):
        self.guest.argument('virtio-disk0', write_cache='off')
        ((_a, _s, found, _c),) = self.broken()
        self.assertEqual('directsync (O_DIRECT)', found)

    def test_an_engine_that_has_fallen_back_is_unknown(self):
        self.guest.write('maps', '')
        ((address, severity, found, code),) = self.broken()
        self.assertEqual("devices/disk[target/@dev='vda']/driver/@io", address)
        self.assertEqual(('unknown', 'unknown', 'disk-io'), (
            severity, found, code,
        ))  # fmt: skip

    def test_another_engine(self):
        self.guest.argument('libvirt-2-storage', aio='threads')
        self.assertEqual('threads', self.broken()[0][2])

    def test_another_iothread(self):
        self.guest.argument('virtio-disk0', iothread=None)
        ((_a, _s, found, code),) = self.broken()
        self.assertEqual(('the main loop', 'disk-iothread'), (found, code))

    def test_a_queue_map(self):
        self.guest.argument(
            'virtio-disk0',
            iothread=None,
            iothread_vq_mapping=[
                {'iothread': 'iothread1', 'vqs': [0]},
                {'iothread': 'iothread2', 'vqs': [1]},
            ],
        )
        self.guest.edit_xml(
            "iothread='1' queues='2'/>",
            "queues='2'><iothreads><iothread id='1'/><iothread id='2'/>"
            '</iothreads></driver>',
        )
        driver = DISK.format('vda')
        wanted = [
            promise(driver, iothread=None),
            promise(f"{driver}/iothreads/iothread[@id='1']"),
            promise(f"{driver}/iothreads/iothread[@id='2']"),
        ]
        self.assertEqual([], self.broken(*wanted))
        self.guest.argument('virtio-disk0', iothread_vq_mapping=None)
        self.assertEqual(
            ['the main loop'] * 2, [b[2] for b in self.broken(*wanted)]
        )

    def test_fewer_queues(self):
        self.guest.close(31)
        self.guest.argument('virtio-disk0', num_queues=1)
        self.assertEqual(
            {('1', 'disk-queues'), ('1', 'vif-queues')},
            {b[2:] for b in self.broken()},
        )

    def test_rings(self):
        self.guest.argument('net0', rx_queue_size=256)
        self.assertEqual([('256', 'vif-ring')], [b[2:] for b in self.broken()])

    def test_vhost(self):
        wanted = promise(f'{TAP}/driver', name='vhost')
        self.guest.edit_xml("name='qemu' queues", "name='vhost' queues")
        self.assertEqual(
            [('qemu', 'vif-backend')], [b[2:] for b in self.broken(wanted)]
        )
        for number in (33, 34):
            self.guest.descriptor(number, '/dev/vhost-net', 'flags:\t02')
        self.guest.argument('hostnet0', vhost=True, vhostfds='33:34')
        self.assertEqual([], self.broken(wanted))
        self.guest.close(34)
        self.assertEqual('vhost for 1 of 2 queues', self.broken(wanted)[0][2])

    def test_a_device_that_is_gone(self):
        wanted = promise(DISK.format('vdz'), queues='2')
        ((_a, severity, found, code),) = self.broken(wanted)
        self.assertEqual(('error', 'absent', 'drift'), (severity, found, code))

    def test_an_address_without_a_rule(self):
        wanted = promise('clock', offset='utc')
        self.guest.edit_xml('<devices>', "<clock offset='utc'/><devices>")
        ((_a, severity, found, code),) = self.broken(wanted)
        self.assertEqual(('unknown', 'utc', 'unaudited'), (
            severity, found, code,
        ))  # fmt: skip

    def test_drift_that_the_kernel_follows(self):
        self.guest.edit_xml(
            "<vcpupin vcpu='1' cpuset='1'/>", "<vcpupin vcpu='1' cpuset='2'/>"
        )
        self.guest.thread(100, 'CPU 1/TCG', '2')
        ((_a, severity, found, code),) = self.broken()
        self.assertEqual('error', severity)
        self.assertEqual('2 (thread 100 CPU 1/TCG) (the live XML: 2)', found)
        self.assertEqual('vcpu-affinity', code)

    def test_drift_that_the_kernel_does_not_follow(self):
        self.guest.edit_xml(
            "<vcpupin vcpu='1' cpuset='1'/>", "<vcpupin vcpu='1' cpuset='2'/>"
        )
        ((_a, severity, found, code),) = self.broken()
        self.assertEqual(('warning', '1 (the live XML: 2)', 'drift'), (
            severity, found, code,
        ))  # fmt: skip

    def test_idle_iothreads(self):
        self.guest.edit_xml("<driver queues='2' iothread='2'/>", '')
        self.guest.edit_xml("io='io_uring' iothread='2'", "io='io_uring'")
        broken = self.broken(promise('iothreads', '2'))
        self.assertEqual(
            [(
                'iothreads',
                'warning',
                'a disk or a controller names 1 of them',
                'iothread-idle',
            )],
            broken,
        )  # fmt: skip

    def test_idle_iothreads_that_nobody_asked_for(self):
        self.guest.edit_xml("<driver queues='2' iothread='2'/>", '')
        self.guest.edit_xml("io='io_uring' iothread='2'", "io='io_uring'")
        found = self.audit(promise('vcpu', '2'))
        (idle,) = [f for f in found if f.code == 'iothread-idle']
        self.assertEqual(Severity.INFO, idle.severity)

    def test_another_guest_has_the_same_pcpus(self):
        claim = Claim('', '', pcpus=frozenset({0, 1}))
        others = Ledger((
            Claim('b', 'beta', pcpus=frozenset({1, 2})),
            Claim('c', 'gamma', pcpus=frozenset({3})),
        ))  # fmt: skip
        codes = [
            (b[0], b[3], b[2])
            for b in self.broken(PROMISES[0], claim=claim, others=others)
        ]
        self.assertEqual(
            [
                ('guest/pcpus', 'pcpu-claimed-twice', '1 also held by beta'),
                (
                    'guest/vCPU',
                    'pcpu-of-another-guest',
                    'CPU 1/TCG may run on 1',
                ),
                (
                    'guest/iothread',
                    'pcpu-of-another-guest',
                    'IO iothread1 may run on 1',
                ),
            ],
            codes,
        )


class GarbageTest(AuditTest):
    """Whatever is in the files, there is an audit, or one of our errors."""

    @settings(deadline=None, max_examples=60)
    @given(
        st.sampled_from(
            ('smaps', 'numa_maps', 'ksm_stat', 'maps', 'task/99/status',
             'task/100/comm', 'fdinfo/22', 'fdinfo/30', 'cmdline')
        ),
        st.data(),
    )  # fmt: skip
    def test_garbage(self, name, data):
        place = self.guest.process / name
        before = place.read_bytes()
        start = data.draw(st.integers(0, len(before)))
        end = data.draw(st.integers(start, min(start + 40, len(before))))
        piece = data.draw(
            st.one_of(
                st.binary(max_size=8),
                st.sampled_from(
                    [b'9' * 5000, b'\xc2\xb2', b'-', b'[]', b'{}']
                ),
            )
        )
        place.write_bytes(before[:start] + piece + before[end:])
        try:
            self.audit()
        except KvmTuningError:
            pass
        finally:
            place.write_bytes(before)
