"""``[iommu]``: the IOMMU, without which no device can be assigned.

See the kernel's Documentation/driver-api/vfio.rst and kernel-parameters.txt.
Intel's may take ``intel_iommu=on``; AMD's and arm64's SMMU are on by default
where the firmware has them on. ``iommu=pt`` (x86) and ``iommu.passthrough=1``
(arm64) turn nothing on: the host's own devices bypass translation, at no cost.
"""

from collections.abc import Iterator
from dataclasses import dataclass
import re
from typing import Any

from oslo_config import cfg

from kvm_tuning.host.access.sysfs import LARGE_BYTES
from kvm_tuning.host.inventory import architecture
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.goals import Argument, Item, Note, Refusal
from kvm_tuning.host.prep.groups.group import Group, Rivals
from kvm_tuning.host.prep.kinds import command_line

CONCERN = 'iommu'
_REASON = 'devices can be assigned to guests'
#: The ACPI table by which the firmware describes Intel's IOMMU.
_INTEL_TABLE = 'DMAR'

OPTIONS = (
    cfg.BoolOpt(
        'required',
        default=False,
        help="""
Whether a host without IOMMU groups is refused.
""",
    ),
    cfg.BoolOpt(
        'kernel_arguments',
        default=False,
        help="""
Whether the kernel is started with ``iommu=pt``, and on Intel with
``intel_iommu=on``; on arm64 with ``iommu.passthrough=1``. In force after a
reboot. Other architectures have no such argument.
""",
    ),
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The wanted IOMMU."""

    required: bool = False
    kernel_arguments: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """IOMMU groups, architecture and command line of the host."""

    groups: int
    architecture: str
    #: Whether the CPUs are Intel's.
    intel: bool
    command_line: str
    #: Whether the firmware describes Intel's IOMMU; None: nobody knows.
    described: bool | None = None


def wanted(conf: Any) -> Wanted | None:
    """Return what the configuration wants; None: nothing."""
    found = Wanted(conf.iommu.required, conf.iommu.kernel_arguments)
    return None if found == Wanted() else found


def read(host: Host) -> State:
    """Return what the host shows."""
    text = host.tree.text('proc/cpuinfo', limit=LARGE_BYTES) or ''
    tables = host.tree.names('sys/firmware/acpi/tables')
    return State(
        len(host.tree.names('sys/kernel/iommu_groups')),
        architecture.read(host.tree),
        re.search(r'^vendor_id\s*:\s*GenuineIntel', text, re.M) is not None,
        host.command_line,
        _INTEL_TABLE in tables if tables else None,
    )


def plan(wanted: Wanted, state: State) -> Iterator[Item]:
    """Yield what ``wanted`` takes."""
    arguments = list(_arguments(state)) if wanted.kernel_arguments else []
    yield from arguments
    if wanted.kernel_arguments and not arguments:
        yield Note(
            CONCERN,
            f'n/a: kernel_arguments: no kernel argument is known for '
            f'{state.architecture or "this architecture"}',
        )
    if wanted.required and not state.groups:
        yield _missing(state, arguments)


def _arguments(state: State) -> Iterator[Argument]:
    if state.architecture == architecture.ARM64:
        yield Argument('iommu.passthrough', '1', CONCERN, _REASON)
    elif state.architecture == architecture.X86:
        if state.intel:
            yield Argument('intel_iommu', 'on', CONCERN, _REASON)
        yield Argument('iommu', 'pt', CONCERN, _REASON)


def _missing(state: State, arguments: list[Argument]) -> Item:
    """Return why there are no groups: a note where a reboot changes that."""
    turned_on = any(argument.key == 'intel_iommu' for argument in arguments)
    given = command_line.value(state.command_line, 'intel_iommu')
    on = given is not None and 'on' in given.split(',')
    if turned_on and not on and state.described is not False:
        return Note(
            CONCERN,
            'there are no IOMMU groups; after a reboot with intel_iommu=on '
            'there should be, if VT-d is on in the firmware',
        )
    return Refusal(
        CONCERN, 'required', f'there are no IOMMU groups: {_remedy(state)}'
    )


def _remedy(state: State) -> str:
    for name in ('intel_iommu', 'amd_iommu', 'iommu'):
        value = command_line.value(state.command_line, name)
        if state.architecture == architecture.X86 and value == 'off':
            return (
                f'the kernel is started with {name}=off; remove that argument '
                f'and reboot'
            )
    if state.architecture == architecture.ARM64:
        return (
            'the firmware has to describe the SMMU (turn it on there); no '
            'kernel argument turns it on'
        )
    if state.architecture != architecture.X86:
        return 'turn the IOMMU on in the firmware'
    if not state.intel:
        return (
            'turn AMD-Vi (IOMMU) on in the firmware; no kernel argument turns '
            'it on'
        )
    if command_line.value(state.command_line, 'intel_iommu') is None:
        if state.described is False:
            return (
                'the firmware does not describe an IOMMU (no ACPI table '
                'DMAR): turn VT-d on there'
            )
        return 'turn VT-d on in the firmware, and set kernel_arguments = true'
    return 'turn VT-d on in the firmware'


GROUP = Group(
    CONCERN,
    OPTIONS,
    wanted,
    read,
    plan,
    rivals=Rivals(tuned=r'iommu='),
    persisted='kernel arguments',
    undone='the former kernel arguments to the byte',
    arguments=('intel_iommu', 'iommu', 'iommu.passthrough'),
)
