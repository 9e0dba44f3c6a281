"""Which architecture a host is of, below any root."""

import re

from kvm_tuning.host.access.sysfs import LARGE_BYTES, Tree

X86 = 'x86'
ARM64 = 'arm64'
#: Nothing shows it.
UNKNOWN = ''

# The kernel's kernel.arch (from Linux 6.1 on), which is what uname(2) says.
_NAMES = (
    (re.compile(r'x86_64|i[3-6]86'), X86),
    (re.compile(r'aarch64'), ARM64),
    (re.compile(r'ppc64(?:le)?'), 'ppc64'),
    (re.compile(r's390x?'), 's390x'),
    (re.compile(r'riscv64'), 'riscv64'),
)
# Lines of /proc/cpuinfo that one architecture alone has.
_LINES = (
    (re.compile(r'CPU implementer'), ARM64),
    (re.compile(r'vendor_id\s*:\s*IBM/S390'), 's390x'),
    (re.compile(r'vendor_id\s*:'), X86),
    (re.compile(r'hart\s*:'), 'riscv64'),
    (re.compile(r'cpu\s*:\s*POWER'), 'ppc64'),
)


def read(tree: Tree) -> str:
    """Return the architecture, in the kernel's name for its directory or
    uname(2)'s; :data:`UNKNOWN` when nothing shows it.
    """
    told = tree.text('proc/sys/kernel/arch')
    for pattern, name in _NAMES:
        if told and pattern.fullmatch(told):
            return name
    text = tree.text('proc/cpuinfo', limit=LARGE_BYTES) or ''
    for line in text.splitlines():
        for pattern, name in _LINES:
            if pattern.match(line.strip()):
                return name
    return UNKNOWN
