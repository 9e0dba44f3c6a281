"""All kinds of settings."""

from collections.abc import Mapping

from kvm_tuning.host.prep.kinds.cpu_affinity import CpuAffinity
from kvm_tuning.host.prep.kinds.kernel_arguments import KernelArguments
from kvm_tuning.host.prep.kinds.kind import Kind, Sysfs
from kvm_tuning.host.prep.kinds.modprobe import (
    Module,
    ModuleLoad,
    ModuleParameter,
    RunningParameter,
)
from kvm_tuning.host.prep.kinds.services import Service
from kvm_tuning.host.prep.kinds.udev import UdevRule

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
