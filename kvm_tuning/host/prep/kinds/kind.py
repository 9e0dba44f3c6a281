"""The interface of a kind of settings, and the kind of sysfs attributes.

The set of kinds is closed. A kind does not know the purpose of a setting; one
engine applies, reads back, journals and undoes all of them.
"""

from typing import Protocol

from kvm_tuning.core import cpuset
from kvm_tuning.host.access import attribute
from kvm_tuning.host.access.system import System
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.goals import Value
from kvm_tuning.host.prep.kinds import vf_count

#: The unit that applies the volatile settings at each boot.
UNIT = 'kvm-tuning-host-prep.service'

#: What loading a driver changes.
ALL_DEVICES = 'all'

_MASK = 'proc/irq/default_smp_affinity'


class Kind(Protocol):
    """One kind of settings."""

    #: Whether a reboot forgets the settings.
    volatile: bool
    #: Whether a write can create what is missing: a module can be loaded, an
    #: unplugged device cannot.
    revives: bool

    def read(self, host: Host, name: str) -> Value:
        """Return the value, in the form in which it is set."""

    def write(
        self, system: System, name: str, value: Value, timeout: float
    ) -> None:
        """Set the value; None removes it.

        :raises OSError: it cannot be set.
        """

    def between(self, found: Value, target: Value) -> tuple[str, ...]:
        """Return the values that an interrupted write may leave."""

    def place(self, name: str) -> str:
        """Return where it is kept across a reboot."""

    def tidy(self, system: System, name: str) -> None:
        """Remove what an interrupted write may have left."""

    def devices(self, name: str) -> str:
        """Return whose devices a setting depends on and changes: a PF's
        address, :data:`ALL_DEVICES`, or ``''`` for none.
        """


class Sysfs:
    """An attribute below ``/sys`` or ``/proc``; its name is its path."""

    volatile = True
    revives = False

    def read(self, host: Host, name: str) -> Value:
        if vf_count.holds(name):
            return vf_count.read(host.tree, name)
        text = host.tree.text(name)
        if text is None:
            return None
        try:
            if name == _MASK:
                return cpuset.format(cpuset.parse_mask(text))
            if name.endswith('_affinity_list'):
                return cpuset.format(cpuset.parse(text))
        except ValueError:
            return text
        return attribute.plain(text)

    def write(
        self, system: System, name: str, value: Value, timeout: float
    ) -> None:
        if value is None:
            raise FileNotFoundError(2, 'an attribute cannot be removed', name)
        if name == _MASK:
            value = f'{cpuset.to_bits(cpuset.parse(value)):x}'
            value = _grouped(value)
        system.write(name, value, timeout)

    def between(self, found: Value, target: Value) -> tuple[str, ...]:
        return ()

    def place(self, name: str) -> str:
        return UNIT

    def tidy(self, system: System, name: str) -> None:
        pass

    def devices(self, name: str) -> str:
        return vf_count.pf(name) or ''


def _grouped(digits: str) -> str:
    """Group the digits of a mask by 32 bits (the kernel's bitmap format)."""
    width = -(-len(digits) // 8) * 8
    digits = digits.zfill(width)
    return ','.join(digits[i : i + 8] for i in range(0, width, 8))
