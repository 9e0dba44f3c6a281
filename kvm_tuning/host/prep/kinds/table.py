"""All kinds of settings."""

from collections.abc import Mapping

from kvm_tuning.core.effects import SettingKind
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
    SettingKind.SYSFS: Sysfs(),
    SettingKind.MODULE_PARAMETER: ModuleParameter(),
    SettingKind.MODULE_LOAD: ModuleLoad(),
    SettingKind.MODULE: Module(),
    SettingKind.RUNNING_PARAMETER: RunningParameter(),
    SettingKind.KERNEL_ARGUMENTS: KernelArguments(),
    SettingKind.SERVICE: Service(),
    SettingKind.CPU_AFFINITY: CpuAffinity(),
    SettingKind.UDEV_RULE: UdevRule(),
}
