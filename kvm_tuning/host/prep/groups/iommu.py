"""``[iommu]``: the IOMMU, without which no device can be assigned.

See the kernel's Documentation/driver-api/vfio.rst and kernel-parameters.txt.
Intel's may take ``intel_iommu=on``; AMD's is on by default.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from oslo_config import cfg

from kvm_tuning.host.access.sysfs import LARGE_BYTES
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.goals import Argument, Item, Note, Refusal
from kvm_tuning.host.prep.groups.group import Group, Rivals
from kvm_tuning.host.prep.kinds import command_line

CONCERN = 'iommu'
_REASON = 'devices can be assigned to guests'

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
``intel_iommu=on``. In force after a reboot.
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
    """IOMMU groups, CPU vendor and command line of the host."""

    groups: int
    vendor: str
    command_line: str


def wanted(conf: Any) -> Wanted | None:
    """Return what the configuration wants; None: nothing."""
    found = Wanted(conf.iommu.required, conf.iommu.kernel_arguments)
    return None if found == Wanted() else found


def read(host: Host) -> State:
    """Read IOMMU groups, CPU vendor and command line of the host."""
    vendor = ''
    text = host.tree.text('proc/cpuinfo', limit=LARGE_BYTES)
    for line in (text or '').splitlines():
        name, _colon, value = line.partition(':')
        if name.strip() == 'vendor_id':
            vendor = value.strip()
            break
    groups = host.tree.names('sys/kernel/iommu_groups')
    return State(len(groups), vendor, host.command_line)


def plan(wanted: Wanted, state: State) -> Iterator[Item]:
    """Yield the arguments, notes and refusals for ``wanted``."""
    arguments = []
    if wanted.kernel_arguments:
        if state.vendor == 'GenuineIntel':
            arguments.append(Argument('intel_iommu', 'on', CONCERN, _REASON))
        # The host's own devices bypass translation, at no cost.
        arguments.append(Argument('iommu', 'pt', CONCERN, _REASON))
        yield from arguments
    if not wanted.required or state.groups:
        return
    missing = [
        str(argument)
        for argument in arguments
        if command_line.value(state.command_line, argument.key)
        != argument.value
    ]
    if missing:
        yield Note(
            CONCERN,
            f'the host has no IOMMU groups; it should have them after a '
            f'reboot with {" ".join(missing)}',
        )
    else:
        yield Refusal(
            CONCERN,
            'required',
            'the host has no IOMMU groups: turn VT-d or AMD-Vi on in the '
            'firmware'
            + ('' if arguments else ', and set kernel_arguments = true'),
        )


GROUP = Group(
    CONCERN,
    OPTIONS,
    wanted,
    read,
    plan,
    rivals=Rivals(tuned=r'iommu='),
    persisted='kernel arguments',
    undone='the former kernel arguments to the byte',
    arguments=('intel_iommu', 'iommu'),
)
