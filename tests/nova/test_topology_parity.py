"""Nova's keys mean the same with and without Nova."""

import collections
import os
import random
import unittest
import warnings

import testtools
from testtools import content
from testtools.matchers import Equals, GreaterThan

from kvm_tuning.core.exceptions import RequestError
from kvm_tuning.core.nova import topology
from tests.nova import flavors

try:
    from nova import exception, objects
    from nova.virt import hardware
except ImportError as exc:
    # A dependency of Nova that is missing is no reason to skip.
    if exc.name != 'nova':
        raise
    raise unittest.SkipTest('needs Nova') from exc

CASES = 10_000

#: What Nova raises on a bad flavor or image: its own errors, and what int()
#: and its versioned objects raise where it does not look first.
NOVA_ERRORS = (exception.NovaException, ValueError, OverflowError)

#: Kinds of refusal that numa_get_constraints and ImageMeta have.
NOVA_KINDS = {
    'BadRequirementEmulatorThreadsPolicy',
    'CPUThreadPolicyConfigurationInvalid',
    'FlavorImageConflict',
    'FlavorImageLockedMemoryConflict',
    'ImageCPUPinningForbidden',
    'ImageCPUThreadPolicyForbidden',
    'ImageNUMATopologyAsymmetric',
    'ImageNUMATopologyCPUDuplicates',
    'ImageNUMATopologyCPUOutOfRange',
    'ImageNUMATopologyCPUsUnassigned',
    'ImageNUMATopologyForbidden',
    'ImageNUMATopologyIncomplete',
    'ImageNUMATopologyMemoryOutOfRange',
    'Invalid',
    'InvalidCPUAllocationPolicy',
    'InvalidCPUThreadAllocationPolicy',
    'InvalidEmulatorThreadsPolicy',
    'InvalidMachineType',
    'InvalidMixedInstanceDedicatedMask',
    'InvalidNUMANodesNumber',
    'InvalidRequest',
    'InvalidVideoMode',
    'LockMemoryForbidden',
    'MemoryPageSizeForbidden',
    'MemoryPageSizeInvalid',
    'RealtimeConfigurationInvalid',
    'RealtimeMaskNotFoundOrInvalid',
    'RequiredMixedInstancePolicy',
    'RequiredMixedOrRealtimeCPUMask',
    'StatelessFirmwareRequired',
    'ValueError',
}


def by_nova(case: flavors.Case, kinds: collections.Counter[str]) -> object:
    """Return Nova's result in plain values, or the text ``error``.

    :param kinds: counts what Nova raised.
    """
    flavor = objects.Flavor(
        name='flavor',
        vcpus=case.vcpus,
        memory_mb=case.memory_mib,
        extra_specs=dict(case.extra_specs),
    )
    try:
        image = objects.ImageMeta.from_dict(
            {'name': 'image', 'properties': dict(case.properties)}
        )
        made = hardware.numa_get_constraints(flavor, image)
    except NOVA_ERRORS as exc:
        kinds[type(exc).__name__] += 1
        return 'error'
    if made is None:
        return None
    cells = [
        (
            cell.id,
            frozenset(cell.cpuset),
            frozenset(cell.pcpuset),
            cell.memory,
            cell.pagesize,
            cell.cpu_policy,
            cell.cpu_thread_policy,
        )
        for cell in made.cells
    ]
    return cells, made.emulator_threads_policy


def by_us(case: flavors.Case) -> object:
    """Return our result in the same values."""
    try:
        made = topology.read(
            case.vcpus, case.memory_mib, case.extra_specs, case.properties
        )
    except RequestError:
        return 'error'
    if made is None:
        return None
    cells = [
        (
            cell.id,
            cell.shared,
            cell.dedicated,
            cell.memory_mib,
            cell.page_size,
            cell.cpu_policy,
            cell.cpu_thread_policy,
        )
        for cell in made.cells
    ]
    return cells, made.emulator_threads_policy


class TestParity(testtools.TestCase):
    def test_equal_to_numa_get_constraints(self) -> None:
        objects.register_all()
        seed = int(os.environ.get('KVM_TUNING_PARITY_SEED', '1'))
        rng = random.Random(seed)
        found: collections.Counter[str] = collections.Counter()
        kinds: collections.Counter[str] = collections.Counter()
        different = []
        with warnings.catch_warnings():
            # Nova warns of identifiers that are no UUIDs.
            warnings.simplefilter('ignore')
            for _ in range(CASES):
                case = flavors.case(rng)
                wanted = by_nova(case, kinds)
                kind = wanted if wanted in ('error', None) else 'topology'
                found[str(kind)] += 1
                got = by_us(case)
                if got != wanted:
                    different.append(f'{case}\nNova: {wanted}\nwe:   {got}')
        said = f'seed {seed}: {dict(found)}, {len(different)} different'
        print(said)
        self.addDetail('cases', content.text_content(said))
        self.assertThat(different[:5], Equals([]))
        for kind in ('error', 'None', 'topology'):
            # Each outcome is well represented, or the test says little.
            self.assertThat(found[kind], GreaterThan(CASES // 10), kind)
        self.assertThat(NOVA_KINDS - kinds.keys(), Equals(set()))
