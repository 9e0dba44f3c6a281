"""What of each file goes into a capture: an allow-list of files and keys.

A file of no kind below is left out. Of a file that people or programs write,
only lines and keys that the inventory and host-prep understand are kept.
"""

from collections.abc import Callable, Iterator
import re
from typing import Any, NamedTuple

import yaml

from kvm_tuning.host import configuration
from kvm_tuning.host.capture.masks import Masks

Filter = Callable[[str, Masks], str]

#: Kernel arguments whose values are kept.
_ARGUMENTS = re.compile(
    r'(isolcpus|nohz(_full)?|rcu_nocbs|rcu_nocb_poll|irqaffinity|'
    r'hugepages|hugepagesz|default_hugepagesz|hugetlb_cma|'
    r'transparent_hugepage|thp_anon|iommu(\.\w+)?|intel_iommu|amd_iommu|'
    r'arm-smmu[\w.-]*|pci|pcie_aspm|mitigations|nosmt|maxcpus|nr_cpus|'
    r'possible_cpus|numa|numa_balancing|mem|memmap|kvm[\w-]*\.\w+|'
    r'vfio[\w-]*\.[\w-]+|igb\.\w+|ixgbe\.\w+|i40e\.\w+|'
    r'(intel_|amd_|acpi_)?(idle|pstate)(\.\w+)?|processor\.\w+|skew_tick|'
    r'tsc|clocksource|cgroup\w*|systemd\.(cpu_affinity|unified[\w-]*)|'
    r'rootflags|rootfstype|ro|rw|quiet|splash|single|'
    r'nosplash|rhgb|ostree|BOOT_IMAGE)'
)
_SECTION = re.compile(r'\s*\[[^\]]*\]\s*')
_ASSIGNED = re.compile(r'\s*([\w.@/*-]+)\s*=\s*(.*)')


def _whole(text: str, masks: Masks) -> str:
    return text


def arguments(text: str, masks: Masks) -> str:
    """Return a kernel command line with unknown values masked."""
    return re.sub(r'[^\s"\']+', lambda found: _argument(found[0], masks), text)


def _argument(word: str, masks: Masks) -> str:
    name, equals, value = word.partition('=')
    if word.startswith('$') or _ARGUMENTS.fullmatch(name):
        return word
    if not equals:
        # A word without a value is a switch, or what is left of a value.
        known = re.fullmatch(r'[a-z][a-z_.-]{0,20}|--|#.*', word)
        return word if known else masks.value(word)
    return f'{name}={masks.value(value)}'


def _comments_gone(text: str, masks: Masks) -> str:
    """Arguments, of which comments keep their place."""
    lines = [
        '#' if line.lstrip().startswith('#') else arguments(line, masks)
        for line in text.splitlines()
    ]
    return _joined(lines)


def _values(text: str, masks: Masks) -> str:
    return _joined(masks.value(line) for line in text.splitlines())


_MENU_WORD = re.compile(
    r'menuentry|submenu|if|elif|else|fi|[{}]|set|load_env|search|insmod|'
    r'blscfg|export|function|initrd(16|efi)?'
)
_SECRET = re.compile(
    r'passw|superusers|--users|token|secret|credential|authoriz|bearer|'
    r'api[_-]?key|://[^/\s]*@',
    re.I,
)


def _menu(text: str, masks: Masks) -> str:
    """GRUB's menu: what leads to the kernel that boots."""
    lines = []
    for line in text.splitlines():
        words = line.split()
        if not words or _SECRET.search(line):
            continue
        if re.fullmatch(r'linux(16|efi)?', words[0]):
            head, _space, tail = line.partition(' ' + words[1])
            lines.append(f'{head} {words[1]}{arguments(tail, masks)}')
        elif words[0] == 'set' and re.search(r'kernelopts|params', words[1]):
            name, _equals, value = line.partition('=')
            lines.append(f'{name}={arguments(value, masks)}')
        elif _MENU_WORD.fullmatch(words[0]):
            lines.append(line)
    return _joined(lines)


def _grub_environment(text: str, masks: Masks) -> str:
    return _joined(_grub_variables(text, masks))


def _grub_variables(text: str, masks: Masks) -> Iterator[str]:
    for line in text.splitlines():
        name, equals, value = line.partition('=')
        if name in ('kernelopts', 'tuned_params'):
            yield f'{name}={arguments(value, masks)}'
        elif line.startswith('# GRUB Environment') or (
            equals and name in ('saved_entry', 'next_entry', 'boot_success')
        ):
            yield line


def _grub_defaults(text: str, masks: Masks) -> str:
    lines = []
    for line in text.splitlines():
        found = re.match(r'\s*(export\s+)?(GRUB_\w+)(\+?=)(.*)', line)
        if found is None or _SECRET.search(line):
            continue
        value = found[4]
        if 'CMDLINE' in found[2] or 'LINUX' in found[2]:
            value = arguments(value, masks)
        lines.append(f'{found[1] or ""}{found[2]}{found[3]}{value}')
    return _joined(lines)


def _entry(text: str, masks: Masks) -> str:
    lines = []
    for line in text.splitlines():
        key = line.split(maxsplit=1)[0] if line.split() else ''
        if key == 'options':
            lines.append(arguments(line, masks))
        elif key in (
            'title', 'version', 'linux', 'initrd', 'efi', 'machine-id',
            'sort-key', 'architecture', 'devicetree', 'grub_class', 'id',
        ):  # fmt: skip
            lines.append(line)
    return _joined(lines)


_NETPLAN = re.compile(
    r'network|version|renderer|ethernets|vlans|bonds|bridges|match|name|'
    r'macaddress|driver|set-name|link|virtual-function-count|'
    r'embedded-switch-mode|delay-virtual-functions-rebind|id|interfaces'
)
#: Below these, keys are names of interfaces.
_DEVICES = frozenset({'ethernets', 'vlans', 'bonds', 'bridges'})


def _netplan(text: str, masks: Masks) -> str:
    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return ''
    return str(yaml.safe_dump(_keys(found, False), sort_keys=False))


def _keys(value: Any, named: bool) -> Any:
    if isinstance(value, list):
        return [_keys(each, False) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _keys(each, key in _DEVICES)
        for key, each in value.items()
        if named or _NETPLAN.fullmatch(str(key))
    }


def _ini(sections: str, keys: str) -> Filter:
    """Return what keeps the keys that match, in sections that match."""
    section, key = re.compile(sections, re.I), re.compile(keys, re.I)

    def kept(text: str, masks: Masks) -> str:
        lines, inside = [], False
        for line in text.splitlines():
            if _SECTION.fullmatch(line):
                name = line.strip()[1:-1]
                inside = section.fullmatch(name) is not None
                if inside:
                    lines.append(line.strip())
            elif (
                inside
                and (found := _ASSIGNED.match(line))
                and key.fullmatch(found[1])
                and not _SECRET.search(line)
            ):
                lines.append(line.strip())
        return _joined(lines)

    return kept


def _lines(pattern: str) -> Filter:
    """Return what keeps the lines in which a pattern is found."""
    wanted = re.compile(pattern)

    def kept(text: str, masks: Masks) -> str:
        return _joined(
            line
            for line in text.splitlines()
            if wanted.search(line) and not _SECRET.search(line)
        )

    return kept


# What a rule of udev runs, or asks.
_COMMAND = re.compile(
    r'((?:RUN|PROGRAM|IMPORT)(?:\{\w+\})?\s*[+:!=]*=\s*)"([^"]*)"'
)


def _rules(text: str, masks: Masks) -> str:
    """Rules of udev, without commands that touch nothing of ours."""
    kept = _lines(
        r'sriov|scheduler|hugepage|/ksm|kvm-tuning|^\s*(ENV|ATTR|KERNEL)'
    )(text, masks)
    return _COMMAND.sub(
        lambda found: (
            found[0]
            if '/sys/' in found[2] or '$sys' in found[2] or '%S' in found[2]
            else f'{found[1]}"masked"'
        ),
        kept,
    )


_UNIT = _ini(
    r'Manager|Service|Unit|Install',
    r'CPUAffinity|NUMAPolicy|NUMAMask|After|Before|WantedBy|Exec\w+',
)


def _unit(text: str, masks: Masks) -> str:
    """Units, and of what they run only what writes below /sys."""
    return _joined(
        line
        for line in _UNIT(text, masks).splitlines()
        if not line.startswith('Exec') or '/sys/' in line
    )


def _own(text: str, masks: Masks) -> str:
    """Our own options, and no other service's."""
    sections = {name for name, _options in configuration.list_opts()}
    names = '|'.join(map(re.escape, sorted(sections)))
    return _ini(names, r'[\w-]+')(text, masks)


def _joined(lines: Any) -> str:
    return ''.join(f'{line}\n' for line in lines)


class Kind(NamedTuple):
    """Files of which something is kept."""

    paths: re.Pattern[str]
    keep: Filter


def _kind(paths: str, keep: Filter) -> Kind:
    return Kind(re.compile(paths), keep)


_DIRS = r'(etc|run|usr/lib|usr/local/lib|lib)'
_TUNED = r'/sys|^kernel|^class|^devices|^module|^block|^bus'

#: The allow-list; the first that matches a path counts.
KINDS = (
    # What names a machine or a part of it.
    _kind(r'sys/.*/(\w*serial\w*|vpd|\w*wwid|wwn|eui|nguid|uuid|uevent|'
          r'unique_id|device_id|phys_\w+|config)', lambda text, masks: ''),
    _kind(r'sys/(class/dmi|devices/virtual/dmi|firmware/(efi|dmi|acpi))/.*',
          lambda text, masks: ''),
    _kind(r'sys/.*', _whole),
    # Whether a program is there.
    _kind(r'(usr/(local/)?)?s?bin/[\w.-]+', lambda text, masks: ''),
    _kind(r'proc/cmdline', arguments),
    _kind(r'proc/sys/kernel/(hostname|domainname|random/uuid)',
          lambda text, masks: ''),
    _kind(r'proc/(meminfo|modules|interrupts|misc|filesystems|'
          r'sys/(vm|kernel)/.*|irq/.*|self/auxv|1/status)', _whole),
    _kind(r'proc/cpuinfo', _lines(
        r'^(processor|vendor_id|cpu family|model|model name|stepping|flags|'
        r'physical id|siblings|core id|cpu cores|apicid|Features|'
        r'CPU \w+|features|machine|cpu)\s*:|^$')),
    _kind(r'boot/grub2?/grub\.cfg|boot/efi/EFI/.*/grub\.cfg', _menu),
    _kind(r'boot/grub2?/grubenv', _grub_environment),
    _kind(r'etc/default/grub(\.d/.*)?|etc/default/zipl.*', _grub_defaults),
    _kind(r'(boot|efi|boot/efi)/loader(\.\d)?/entries/.*\.conf', _entry),
    _kind(r'(boot|efi|boot/efi)/loader/loader\.conf',
          _lines(r'^(default|timeout|auto-\w+)\s')),
    _kind(r'(etc|usr/lib)/kernel/cmdline', _comments_gone),
    _kind(r'etc/kernel/proxmox-boot-uuids', _values),
    _kind(r'(etc|usr/lib)/kernel/install\.conf', _lines(r'^\w+=')),
    _kind(r'(etc|run|lib|usr/lib)/netplan/.*\.ya?ml', _netplan),
    _kind(r'(etc|run|usr/lib)/NetworkManager/.*', _ini(
        r'connection|ethernet|802-3-ethernet|sriov|match|main|keyfile|'
        r'device.*',
        r'interface-name|type|autoconnect|mac-address|match-device|managed|'
        r'sriov-num-vfs|total-vfs|vf\.\d+|autoprobe-drivers|plugins|'
        r'unmanaged-devices|no-auto-default|driver|path|kernel-command-line')),
    _kind(r'etc/sysconfig/network-scripts/ifcfg-.*', _lines(
        r'^(DEVICE|HWADDR|TYPE|ONBOOT|NM_CONTROLLED|SRIOV_\w+)=')),
    _kind(r'etc/network/interfaces(\.d/.*)?', _lines(
        r'^\s*(auto|iface|allow-\w+|source\w*)\b|sriov_numvfs')),
    _kind(r'(etc|run|usr/lib|lib)/systemd/network/.*', _ini(
        r'Match|Link|SR-IOV|NetDev|Network',
        r'\w*Name|MACAddress|PermanentMACAddress|Path|Driver|Type|Kind|'
        r'Property|SR-IOV\w*|VirtualFunction|VLAN|Bridge|Bond|MACVLAN|'
        r'MACVTAP|Trust|LinkState')),
    _kind(rf'{_DIRS}/udev/rules\.d/.*', _rules),
    _kind(rf'{_DIRS}/(modprobe|depmod)\.d/.*', _lines(
        r'^\s*(options|blacklist|softdep|alias|install|remove)\s')),
    _kind(rf'{_DIRS}/modules-load\.d/.*|etc/modules', _whole),
    _kind(rf'{_DIRS}/sysctl\.d/.*|etc/sysctl\.conf', _lines(
        r'^\s*-?(vm|kernel)[./](?!hostname|domainname)')),
    _kind(rf'{_DIRS}/(tmpfiles)\.d/.*', _lines(r'/sys/|/proc/sys/')),
    _kind(r'etc/sysfs(\.d/.*|\.conf)', _lines(_TUNED)),
    _kind(r'etc/tuned/bootcmdline', _comments_gone),
    _kind(r'etc/tuned/(active_profile|profile_mode)', _whole),
    _kind(rf'{_DIRS}/systemd/system(\.conf.*)?/.*|etc/systemd/system\.conf',
          _unit),
    _kind(r'etc/(default/irqbalance|sysconfig/irqbalance)',
          _lines(r'^IRQBALANCE_\w+=')),
    _kind(r'etc/sriov-netplan-shim/.*', _lines(r'^\s*[\w-]+:|num_vfs')),
    _kind(r'etc/kvm-tuning/.*\.conf', _own),
    _kind(r'etc/os-release|usr/lib/os-release', _lines(
        r'^(ID|ID_LIKE|VERSION_ID|NAME)=')),
)  # fmt: skip


def find(path: str) -> Filter | None:
    """Return what keeps the part of a file that may be given away; None: the
    file is not in the allow-list.
    """
    for kind in KINDS:
        if kind.paths.fullmatch(path):
            return kind.keep
    return None
