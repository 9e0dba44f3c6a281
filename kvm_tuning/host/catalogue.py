"""All kinds of settings there are."""

from collections.abc import Mapping

from kvm_tuning.host.cpu_affinity import CpuAffinity
from kvm_tuning.host.kernel_args import KernelArguments
from kvm_tuning.host.kinds import Kind, Sysfs
from kvm_tuning.host.modprobe import (
    Module,
    ModuleLoad,
    ModuleParameter,
    RunningParameter,
)
from kvm_tuning.host.services import Service
from kvm_tuning.host.udev import UdevRule

KINDS: Mapping[str, Kind] = {
    'sysfs': Sysfs(),
    'module-parameter': ModuleParameter(),
    'module-load': ModuleLoad(),
    'module': Module(),
    'running-parameter': RunningParameter(),
    'kernel-arguments': KernelArguments(),
    'service': Service(),
    'cpu-affinity': CpuAffinity(),
    'udev-rule': UdevRule(),
}
