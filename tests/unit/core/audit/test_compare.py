"""Audits without a running guest, and of guests that hide things."""

from dataclasses import replace

import testtools

from kvm_tuning.core import domain
from kvm_tuning.core.audit import compare
from kvm_tuning.core.audit.finding import Severity
from kvm_tuning.core.effects import Phase, Scope, Setting
from kvm_tuning.core.exceptions import InvalidDocument
from kvm_tuning.core.inventory import Cell, Cpu, Inventory
from kvm_tuning.core.ledger import Claim, Ledger
from kvm_tuning.core.observed import (
    Arguments,
    Disk,
    Kind,
    Ksm,
    Memory,
    Nic,
    Observed,
    Ram,
    Thread,
    Unknown,
)
from kvm_tuning.core.placement import Unkept
from tests.fixtures.promises import DISK, NIC, absent, promise, receipt

HIDDEN = Unknown('hidden', 'CAP_SYS_PTRACE')
MAC = '52:54:00:00:00:01'
CPU0 = frozenset({0})

XML = f"""<domain type='kvm'>
  <name>a</name>
  <memory unit='KiB'>1024</memory>
  <vcpu cpuset='0'>2</vcpu>
  <cputune><vcpupin vcpu='0' cpuset='0'/><emulatorpin cpuset='0'/>
  <iothreadpin iothread='1' cpuset='0'/></cputune>
  <iothreads>1</iothreads>
  <numatune><memory mode='strict' nodeset='0-1'/>
  <memnode cellid='0' mode='strict' nodeset='0'/></numatune>
  <cpu><cache mode='passthrough'/><topology sockets='2'/></cpu>
  <devices>
    <disk><target dev='vda' bus='virtio'/>
      <driver cache='none' io='native' iothread='1' queues='2'/></disk>
    <interface><mac address='{MAC}'/><model type='virtio'/>
      <driver name='vhost' queues='2' rx_queue_size='512'/></interface>
  </devices>
</domain>"""

RAM = Ram(
    backend='ram',
    cell=None,
    size_kib=1024,
    page_kib=4,
    resident_kib=1024,
    anon_huge_kib=0,
    locked_kib=0,
    mergeable=False,
    policy='bind:0-1',
    nodes_kib={0: 512, 1: 512},
)
OBSERVED = Observed(
    pid=1,
    threads=(
        Thread(1, 'qemu', Kind.EMULATOR, None, CPU0),
        Thread(2, 'CPU 0/KVM', Kind.VCPU, 0, CPU0),
        Thread(3, 'CPU 1/KVM', Kind.VCPU, 1, CPU0),
    ),
    memory=Memory((RAM,), Ksm(0, 0)),
)


def host(cells=2):
    cpus = tuple(Cpu(n, frozenset({n}), CPU0, None, n) for n in range(cells))
    return Inventory(
        cpus=cpus,
        cells=tuple(
            Cell(n, frozenset({n}), 1 << 30, 1 << 30) for n in range(cells)
        ),
        memory_bytes=cells << 30,
    )


class AuditTest(testtools.TestCase):
    def audit(self, *promises, observed=OBSERVED, xml=XML, cells=2, **more):
        others = more.pop('others', None) or Ledger()
        return compare.compare(
            domain.read(xml),
            receipt(*promises, **more),
            observed,
            host(cells),
            others,
        )

    def one(self, a_promise, **more):
        """Return the first finding: that of the promise."""
        found = self.audit(a_promise, **more)[0]
        return found.severity, found.found


class StoppedTest(AuditTest):
    def test_only_the_definition_is_compared(self):
        first, second = self.audit(
            promise("cputune/vcpupin[@vcpu='0']", cpuset='0'),
            promise("cputune/vcpupin[@vcpu='1']", cpuset='0'),
            observed=None,
        )
        self.assertEqual(
            (Severity.INFO, 'not-running'), (first.severity, first.code)
        )
        self.assertEqual(
            (Severity.ERROR, 'drift'), (second.severity, second.code)
        )
        self.assertEqual(('0', 'absent'), (second.wanted, second.found))

    def test_claims_count_when_stopped(self):
        others = Ledger((Claim('b', 'beta', shared=frozenset({3})),))
        claim = Claim('', '', pcpus=frozenset({3}))
        (found,) = self.audit(observed=None, claim=claim, others=others)
        self.assertEqual('pcpu-claimed-twice', found.code)

    def test_nothing_was_promised(self):
        (found,) = compare.compare(
            domain.read(XML), None, None, host(), Ledger()
        )
        self.assertEqual((Severity.INFO, 'no-receipt'), (
            found.severity, found.code,
        ))  # fmt: skip

    def test_an_unreadable_receipt(self):
        found = compare.unreadable(InvalidDocument('no receipt'))
        self.assertEqual(Severity.ERROR, found.severity)
        self.assertIn('no receipt', found.found)

    def test_settings_wait_for_the_guest(self):
        setting = Setting(
            'thread-affinity', 'vhost', '1', Scope.GUEST, Phase.AFTER_START
        )
        (found,) = self.audit(observed=None, settings=(setting,))
        self.assertEqual((Severity.INFO, 'not-running'), (
            found.severity, found.code,
        ))  # fmt: skip
        self.assertEqual('thread-affinity/vhost', found.address)

    def test_preferences_that_were_not_kept(self):
        unkept = Unkept('kvm:cpu_locality', 'l3', '2 domains', 'too few')
        (found,) = self.audit(observed=None, unkept=(unkept,))
        self.assertEqual(
            (Severity.INFO, 'kvm:cpu_locality', 'l3', '2 domains', 'too few'),
            (
                found.severity,
                found.address,
                found.wanted,
                found.found,
                found.why,
            ),
        )


class HiddenTest(AuditTest):
    """What is hidden is unknown, and says what it needs."""

    def check(self, observed, *promises, xml=XML):
        for each in promises:
            found = self.audit(each, observed=observed, xml=xml)[0]
            self.assertEqual(Severity.UNKNOWN, found.severity, each)
            self.assertIn('CAP_SYS_PTRACE', found.why)

    def test_threads(self):
        self.check(
            replace(OBSERVED, threads=HIDDEN),
            promise("cputune/vcpupin[@vcpu='0']", cpuset='0'),
            promise('cputune/emulatorpin', cpuset='0'),
            promise("cputune/iothreadpin[@iothread='1']", cpuset='0'),
            promise('vcpu', '2', cpuset='0'),
            promise('iothreads', '1'),
        )

    def test_affinity(self):
        threads = tuple(replace(t, cpus=HIDDEN) for t in OBSERVED.threads)
        self.check(
            replace(OBSERVED, threads=threads),
            promise("cputune/vcpupin[@vcpu='0']", cpuset='0'),
            promise('cputune/emulatorpin', cpuset='0'),
        )

    def test_the_affinity_of_a_worker(self):
        worker = Thread(9, 'worker', Kind.WORKER, None, HIDDEN)
        self.check(
            replace(OBSERVED, threads=(*OBSERVED.threads, worker)),
            promise('cputune/emulatorpin', cpuset='0'),
        )

    def test_names(self):
        untold = Thread(9, 'qemu', Kind.UNTOLD, None, CPU0)
        found = self.audit(
            promise("cputune/vcpupin[@vcpu='0']", cpuset='0'),
            observed=replace(OBSERVED, threads=(untold,)),
        )[0]
        self.assertEqual(Severity.UNKNOWN, found.severity)
        self.assertIn('--monitor', found.why)

    def test_memory(self):
        self.check(
            replace(OBSERVED, memory=Memory(HIDDEN, HIDDEN)),
            promise('memory', '1024', unit='KiB'),
            promise("memoryBacking/hugepages/page[@size='2048']"),
            promise('memoryBacking/nosharepages'),
            promise('memoryBacking/allocation', mode='immediate'),
            promise('memoryBacking/locked'),
            promise('numatune/memory', mode='strict', nodeset='0-1'),
            promise("cpu/numa/cell[@id='0']", memory='1', unit='KiB'),
            xml=XML.replace(
                '<vcpu',
                "<memoryBacking><hugepages><page size='2048'/></hugepages>"
                "<nosharepages/><locked/><allocation mode='immediate'/>"
                '</memoryBacking><vcpu',
            ).replace(
                '<cache', "<numa><cell id='0' memory='1'/></numa><cache"
            ),
        )

    def test_small_pages(self):
        self.check(
            replace(OBSERVED, memory=Memory(HIDDEN, HIDDEN)),
            absent('memoryBacking/hugepages'),
        )

    def test_parts_of_memory(self):
        hidden = replace(
            RAM, policy=HIDDEN, nodes_kib=HIDDEN, mergeable=HIDDEN
        )
        observed = replace(OBSERVED, memory=Memory((hidden,), Ksm(0, 0)))
        self.check(
            observed,
            promise('numatune/memory', mode='strict'),
            promise('numatune/memory', nodeset='0-1'),
            absent('memoryBacking/nosharepages'),
        )
        placed = replace(RAM, nodes_kib=HIDDEN)
        self.check(
            replace(OBSERVED, memory=Memory((placed,), HIDDEN)),
            promise('numatune/memory', nodeset='0-1'),
        )

    def test_disks(self):
        disk = Disk(
            'vda', HIDDEN, HIDDEN, HIDDEN, HIDDEN, HIDDEN, HIDDEN, HIDDEN
        )
        observed = replace(OBSERVED, disks={'vda': disk})
        driver = DISK.format('vda')
        self.check(
            observed,
            promise(driver, cache='none'),
            promise(driver, io='native'),
            promise(driver, iothread='1'),
            promise(driver, queues='2'),
            absent(f'{driver}/iothreads'),
            promise("devices/disk[target/@dev='vda']/target", bus='virtio'),
        )
        for part in ('write_cache', 'no_flush'):
            seen = replace(disk, direct=True, write_cache=True, no_flush=False)
            seen = replace(seen, **{part: HIDDEN})
            self.check(
                replace(OBSERVED, disks={'vda': seen}),
                promise(driver, cache='none'),
            )

    def test_nics(self):
        nic = Nic(MAC, HIDDEN, HIDDEN, HIDDEN, HIDDEN, HIDDEN, HIDDEN)
        observed = replace(OBSERVED, nics={MAC: nic})
        path = NIC.format(MAC)
        self.check(
            observed,
            promise(f'{path}/driver', name='vhost'),
            promise(f'{path}/driver', queues='2'),
            promise(f'{path}/driver', rx_queue_size='512'),
            promise(f'{path}/model', type='virtio'),
        )
        self.check(
            replace(OBSERVED, nics={MAC: replace(nic, vhost=2)}),
            promise(f'{path}/driver', name='vhost'),
        )

    def test_arguments(self):
        self.check(
            replace(OBSERVED, arguments=HIDDEN),
            promise('cpu/cache', mode='passthrough'),
            promise('cpu/topology', sockets='2'),
        )
        for path, values in (
            ('cpu/cache', {'mode': 'passthrough'}),
            ('cpu/topology', {'sockets': '2'}),
        ):
            severity, _found = self.one(promise(path, **values))
            self.assertEqual(Severity.UNKNOWN, severity)

    def test_devices_that_are_not_there(self):
        for each in (
            promise(DISK.format('vda'), cache='none'),
            promise(DISK.format('vda'), io='native'),
            promise(DISK.format('vda'), iothread='1'),
            promise(f'{NIC.format(MAC)}/driver', queues='2'),
            promise(f'{NIC.format(MAC)}/driver', name='vhost'),
            promise(f'{NIC.format(MAC)}/model', type='virtio'),
        ):
            severity, _found = self.one(each)
            self.assertEqual(Severity.UNKNOWN, severity)


class RulesTest(AuditTest):
    def ram(self, **changes):
        ram = replace(RAM, **changes)
        return replace(OBSERVED, memory=Memory((ram,), Ksm(0, 0)))

    def test_vcpus_without_a_pin(self):
        wanted = promise('vcpu', cpuset='0')
        self.assertEqual((Severity.OK, '0'), self.one(wanted))
        threads = (
            *OBSERVED.threads[:2],
            replace(OBSERVED.threads[2], cpus=frozenset({0, 1})),
        )
        severity, found = self.one(
            wanted, observed=replace(OBSERVED, threads=threads)
        )
        self.assertEqual(Severity.ERROR, severity)
        self.assertIn('0-1 (thread 3', found)

    def test_one_thread_for_all_vcpus(self):
        thread = Thread(2, 'ALL CPUs/TCG', Kind.VCPU, None, CPU0)
        observed = replace(
            OBSERVED,
            threads=(OBSERVED.threads[0], thread),
            arguments=Arguments((('smp', {'': '2', 'sockets': '2'}),)),
        )
        severity, found = self.one(
            promise("cputune/vcpupin[@vcpu='0']", cpuset='0'),
            observed=observed,
        )
        self.assertEqual(Severity.ERROR, severity)
        self.assertIn('TCG', found)

    def test_a_vcpu_that_is_not_plugged(self):
        observed = replace(OBSERVED, threads=OBSERVED.threads[:2])
        wanted = promise("cputune/vcpupin[@vcpu='1']", cpuset='0')
        severity, found = self.one(wanted, observed=observed)
        self.assertEqual(Severity.ERROR, severity)
        self.assertIn('no vCPU thread 1', found)
        xml = XML.replace('<vcpu ', "<vcpu current='1' ").replace(
            '<emulatorpin', "<vcpupin vcpu='1' cpuset='0'/><emulatorpin"
        )
        self.assertEqual(
            (Severity.OK, 'not plugged'),
            self.one(wanted, observed=observed, xml=xml),
        )

    def test_number_of_vcpus(self):
        self.assertEqual((Severity.OK, '2'), self.one(promise('vcpu', '2')))
        xml = XML.replace("<vcpu cpuset='0'>2", "<vcpu cpuset='0'>3")
        severity, found = self.one(promise('vcpu', '3'), xml=xml)
        self.assertEqual((Severity.ERROR, '2'), (severity, found))
        xml = xml.replace('<vcpu ', "<vcpu current='2' ")
        severity, found = self.one(promise('vcpu', '3'), xml=xml)
        self.assertEqual(Severity.OK, severity)

    def test_a_promise_that_is_no_list(self):
        severity, found = self.one(
            promise("cputune/vcpupin[@vcpu='0']", cpuset='all')
        )
        self.assertEqual((Severity.ERROR, '0'), (severity, found))

    def test_cells_of_the_memory(self):
        wanted = promise('numatune/memory', nodeset='0-1')
        severity, found = self.one(wanted)
        self.assertEqual(Severity.OK, severity)
        self.assertEqual('policy bind:0-1; 0 MiB on 0, 0 MiB on 1', found)
        severity, _found = self.one(wanted, observed=self.ram(policy='bind:0'))
        self.assertEqual(Severity.ERROR, severity)

    def test_each_cell_is_bound_to_its_part_of_the_memory(self):
        xml = XML.replace(
            '</numatune>',
            "<memnode cellid='1' mode='strict' nodeset='1'/></numatune>",
        )
        wanted = promise('numatune/memory', nodeset='0-1')

        def found(*policies):
            ram = tuple(
                replace(RAM, cell=cell, policy=policy, nodes_kib={cell: 512})
                for cell, policy in enumerate(policies)
            )
            observed = replace(OBSERVED, memory=Memory(ram, Ksm(0, 0)))
            return self.one(wanted, xml=xml, observed=observed)[0]

        self.assertEqual(Severity.OK, found('bind:0', 'bind:1'))
        self.assertEqual(Severity.ERROR, found('bind:0', 'bind:0'))
        self.assertEqual(Severity.ERROR, found('bind:0', 'bind:1-2'))
        self.assertEqual(Severity.ERROR, found('bind:0', 'default'))
        # Only one has its own: <memory> speaks of the other.
        ram = tuple(
            replace(RAM, cell=cell, policy=f'bind:{cell}', nodes_kib={})
            for cell in (0, 1)
        )
        observed = replace(OBSERVED, memory=Memory(ram, Ksm(0, 0)))
        severity, _found = self.one(wanted, observed=observed)
        self.assertEqual(Severity.ERROR, severity)

    def test_preferred_memory_may_overflow(self):
        xml = XML.replace(
            "mode='strict' nodeset='0-1'", "mode='preferred' nodeset='0'"
        )
        wanted = promise('numatune/memory', nodeset='0')
        for policy in ('prefer:0', 'prefer (many):0'):
            severity, _found = self.one(
                wanted, xml=xml, observed=self.ram(policy=policy)
            )
            self.assertEqual(Severity.OK, severity)
        severity, _found = self.one(
            promise('numatune/memory', mode='preferred'),
            xml=xml,
            observed=self.ram(policy='prefer (many):0'),
        )
        self.assertEqual(Severity.OK, severity)

    def test_restrictive_memory_has_no_policy(self):
        xml = XML.replace(
            "mode='strict' nodeset='0-1'", "mode='restrictive' nodeset='0-1'"
        )
        severity, _found = self.one(
            promise('numatune/memory', nodeset='0-1'),
            xml=xml,
            observed=self.ram(policy='default'),
        )
        self.assertEqual(Severity.OK, severity)

    def test_the_only_cell_needs_no_proof(self):
        observed = replace(OBSERVED, memory=Memory(HIDDEN, HIDDEN))
        xml = XML.replace("nodeset='0-1'", "nodeset='0'")
        severity, found = self.one(
            promise('numatune/memory', nodeset='0'),
            xml=xml, observed=observed, cells=1,
        )  # fmt: skip
        self.assertEqual((Severity.OK, '0 (the only cell)'), (severity, found))

    def test_a_guest_cell_without_ram(self):
        wanted = promise("numatune/memnode[@cellid='7']", nodeset='0')
        xml = XML.replace("cellid='0'", "cellid='7'")
        severity, _found = self.one(wanted, xml=xml)
        self.assertEqual(Severity.UNKNOWN, severity)

    def test_no_huge_pages(self):
        gone = absent('memoryBacking/hugepages')
        self.assertEqual(Severity.OK, self.one(gone)[0])
        severity, found = self.one(gone, observed=self.ram(page_kib=2048))
        self.assertEqual(Severity.ERROR, severity)
        self.assertIn('2048', found)

    def test_any_huge_pages(self):
        xml = XML.replace('<vcpu', '<memoryBacking><hugepages/>'
                          '</memoryBacking><vcpu')  # fmt: skip
        wanted = promise('memoryBacking/hugepages')
        self.assertEqual(Severity.ERROR, self.one(wanted, xml=xml)[0])
        severity, _found = self.one(
            wanted, xml=xml, observed=self.ram(page_kib=1 << 20)
        )
        self.assertEqual(Severity.OK, severity)

    def test_allocation_on_demand_has_nothing_to_prove(self):
        xml = XML.replace(
            '<vcpu',
            "<memoryBacking><allocation mode='ondemand'/></memoryBacking>"
            '<vcpu',
        )
        wanted = promise('memoryBacking/allocation', mode='ondemand')
        self.assertEqual(Severity.OK, self.one(wanted, xml=xml)[0])

    def test_huge_pages_are_never_merged(self):
        observed = self.ram(page_kib=2048)
        severity, found = self.one(
            absent('memoryBacking/nosharepages'), observed=observed
        )
        self.assertEqual(Severity.OK, severity)
        self.assertIn('never', found)

    def test_memory_that_was_plugged_is_the_documents(self):
        xml = XML.replace('<devices>', "<devices><memory model='dimm'/>")
        severity, _found = self.one(
            promise('memory', '1024', unit='KiB'),
            xml=xml, observed=self.ram(size_kib=512),
        )  # fmt: skip
        self.assertEqual(Severity.OK, severity)
        severity, _found = self.one(
            promise('memory', '1024', unit='KiB'),
            observed=self.ram(size_kib=512),
        )
        self.assertEqual(Severity.ERROR, severity)

    def test_caches(self):
        wanted = promise('cpu/cache', mode='passthrough')
        for options, severity in (
            ({'': 'host', 'host-cache-info': 'on'}, Severity.OK),
            ({'': 'host', 'l3-cache': 'on'}, Severity.ERROR),
        ):
            observed = replace(
                OBSERVED, arguments=Arguments((('cpu', options),))
            )
            self.assertEqual(severity, self.one(wanted, observed=observed)[0])

    def test_the_hint_that_vcpus_are_dedicated(self):
        for wanted, value, severity, found in (
            ('on', 'on', Severity.OK, 'on'),
            ('on', True, Severity.OK, 'on'),
            ('on', 'off', Severity.ERROR, 'off'),
            ('off', None, Severity.OK, 'off'),
            ('off', 'on', Severity.ERROR, 'on'),
        ):
            options = {'': 'host', 'kvm-hint-dedicated': value}
            observed = replace(
                OBSERVED, arguments=Arguments((('cpu', options),))
            )
            xml = XML.replace(
                '<devices>',
                f"<features><kvm><hint-dedicated state='{wanted}'/></kvm>"
                '</features><devices>',
            )
            self.assertEqual(
                (severity, found),
                self.one(
                    promise('features/kvm/hint-dedicated', state=wanted),
                    observed=observed,
                    xml=xml,
                ),
            )
        for arguments in (Arguments(), HIDDEN):
            observed = replace(OBSERVED, arguments=arguments)
            severity, _found = self.one(
                promise('features/kvm/hint-dedicated', state='on'),
                observed=observed,
                xml=xml.replace("'off'", "'on'"),
            )
            self.assertEqual(Severity.UNKNOWN, severity)

    def test_cells_of_the_guest(self):
        xml = XML.replace(
            '<cache', "<numa><cell id='0' cpus='0-1'/></numa><cache"
        )
        wanted = promise("cpu/numa/cell[@id='0']", cpus='0-1')
        for options, severity in (
            ({'': 'node', 'nodeid': '0', 'cpus': ['0', '1']}, Severity.OK),
            ({'': 'node', 'nodeid': '0', 'cpus': '0'}, Severity.ERROR),
            ({'': 'node', 'nodeid': '0', 'cpus': 'x'}, Severity.UNKNOWN),
            ({'': 'node', 'nodeid': '0'}, Severity.UNKNOWN),
            ({'': 'node', 'nodeid': '1', 'cpus': '0-1'}, Severity.UNKNOWN),
        ):
            observed = replace(
                OBSERVED, arguments=Arguments((('numa', options),))
            )
            self.assertEqual(
                severity, self.one(wanted, xml=xml, observed=observed)[0]
            )
        hidden = replace(OBSERVED, arguments=HIDDEN)
        severity, _found = self.one(wanted, xml=xml, observed=hidden)
        self.assertEqual(Severity.UNKNOWN, severity)

    def test_the_emulator_keeps_off_another_guests_pcpus(self):
        others = Ledger((Claim('b', 'beta', pcpus=CPU0),))
        threads = (OBSERVED.threads[0],)
        found = self.audit(
            observed=replace(OBSERVED, threads=threads), others=others
        )
        (row,) = [f for f in found if f.code == 'pcpu-of-another-guest']
        self.assertEqual(Severity.WARNING, row.severity)
        self.assertEqual('guest/emulator', row.address)

    def test_a_worker_of_nobody(self):
        worker = Thread(9, 'worker', Kind.WORKER, None, frozenset({7}))
        severity, found = self.one(
            promise('cputune/emulatorpin', cpuset='0'),
            observed=replace(OBSERVED, threads=(*OBSERVED.threads, worker)),
        )
        self.assertEqual(Severity.ERROR, severity)
        self.assertEqual('7 (thread 9 worker)', found)

    def test_topology_that_must_be_gone(self):
        wanted = promise('cpu/topology', dies=None)
        self.assertEqual((Severity.OK, 'absent'), self.one(wanted))

    def test_a_controller_that_is_gone(self):
        path = "devices/controller[@type='scsi'][@index='3']"
        xml = XML.replace(
            '<devices>',
            "<devices><controller type='scsi' index='3' model='virtio-scsi'>"
            "<driver queues='2' iothread='1'/></controller>",
        )
        for wanted in (
            promise(path, model='virtio-scsi'),
            promise(f'{path}/driver', queues='2'),
            promise(f'{path}/driver', iothread='1'),
        ):
            self.assertEqual(Severity.UNKNOWN, self.one(wanted, xml=xml)[0])

    def test_the_default_engine(self):
        disk = Disk(
            'vda', 'virtio-blk-pci', True, True, False, 'native', {}, 1
        )
        xml = XML.replace("io='native' ", '')
        severity, found = self.one(
            promise(DISK.format('vda'), io=None),
            xml=xml,
            observed=replace(OBSERVED, disks={'vda': disk}),
        )
        self.assertEqual((Severity.ERROR, 'native'), (severity, found))
