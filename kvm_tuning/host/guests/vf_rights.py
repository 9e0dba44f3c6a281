"""Which attributes of VFs the privileged process sets for its callers.

Only those of VFs that root itself reads in the definition of the guest that
they are for, and never of one that another running guest has. What a VF had
before is put on record, by root and for root alone, so that it can be given
back once the guest and its definition are gone.
"""

from collections.abc import Callable, Mapping
import errno
import json

from kvm_tuning.host.access import owned
from kvm_tuning.host.access.system import System
from kvm_tuning.host.guests import definitions, functions

#: Below the root; a reboot forgets both VFs and records.
RECORDS = 'run/kvm-tuning/vfs'
_MAX_BYTES = 256

#: (PF's address, index).
Vf = tuple[str, int]


def set_attribute(
    uuid: str,
    vf: Vf,
    name: str,
    value: str,
    read: Callable[[str, int], Mapping[str, str] | None],
    write: Callable[[str, int, str, str], None],
    root: str = '/',
) -> None:
    """Set an attribute of a VF for the guest ``uuid``, if that may be.

    :param read: as :func:`virtual_functions.read`.
    :param write: as :func:`virtual_functions.write`.
    :raises OSError: it may not be, or the kernel's answer.
    """
    record = f'{RECORDS}/{vf[0]}-{int(vf[1])}-{name}'
    system = System(root)
    before = _recorded(record, root)
    if _has(uuid, vf, root):
        now = (read(*vf) or {}).get(name)
        if now is None:
            raise OSError(errno.ENODEV, f'{vf[0]} has no {name} of VF {vf[1]}')
        if before is None and value != now:
            system.replace(record, f'{json.dumps(now)}\n', mode=0o600)
    elif before is None or value != before:
        raise OSError(
            errno.EPERM,
            f"VF {vf[1]} of {vf[0]} is not in guest {uuid}'s definition",
        )
    write(*vf, name, value)
    if value == before:
        system.remove(record)


def _has(uuid: str, vf: Vf, root: str) -> bool:
    """Tell whether a guest has a VF.

    :raises OSError: another running guest has it, or nobody knows.
    """
    mine = False
    for kept in definitions.read(root):
        if vf not in functions.vfs(kept.guest, root):
            continue
        if kept.guest.uuid == uuid:
            mine = True
        elif kept.running:
            raise OSError(
                errno.EBUSY,
                f'VF {vf[1]} of {vf[0]} is the running guest '
                f"{kept.guest.name}'s",
            )
    return mine


def _recorded(path: str, root: str) -> str | None:
    try:
        raw = owned.read(path, _MAX_BYTES, root)
        found = None if raw is None else json.loads(raw)
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, str) else None
