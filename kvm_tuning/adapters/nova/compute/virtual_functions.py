"""Attributes of the VFs that Nova gives a guest, set on their PFs.

They are set before the guest starts, by the privileged process, and restored
when it has ended. The previous values are kept in a file of Nova's own, as
nova-compute may write nowhere else.
"""

from collections.abc import Collection
import logging
import os
import threading

import nova.conf

from kvm_tuning.core import domain, receipt
from kvm_tuning.core.effects import Setting
from kvm_tuning.core.exceptions import KvmTuningError, SettingRejected
from kvm_tuning.host.access.system import System
from kvm_tuning.host.guests.settings import (
    VF_ATTRIBUTE,
    Engine,
    Owner,
    PrivilegedWriter,
    Result,
    Step,
    Writer,
)

LOG = logging.getLogger(__name__)
CONF = nova.conf.CONF

WRITER: Writer = PrivilegedWriter()

# Of the file.
_lock = threading.Lock()


def before_start(xml: str) -> None:
    """Set what is promised of a guest's VFs.

    :param xml: what the guest is about to be defined with.
    :raises SettingRejected: it cannot be set; the VFs are unchanged.
    :raises JournalFailed: the previous values cannot be recorded.
    """
    if not receipt.has_settings(str(xml)):
        return
    found = domain.read(xml)
    settings = [
        setting
        for setting in (found.receipt.settings if found.receipt else ())
        # The host's own settings, such as its huge pages, are only checked.
        if setting.kind == VF_ATTRIBUTE
    ]
    if not settings:
        return
    guest = found.current
    # The plan has read them from the very VFs that are in this document.
    owner = Owner(guest.owner, guest.name, {_vf(s) for s in settings})
    with _lock:
        try:
            steps = _engine().before_start(owner, settings)
            failed = [s for s in steps if s.result is Result.FAILED]
            if failed:
                raise SettingRejected(
                    '; '.join(
                        f'VF {s.name}={s.value}: {s.detail}' for s in failed
                    )
                )
        except KvmTuningError:
            _restore({owner.uuid})
            raise
    for step in steps:
        _say(step)


def promised(xml: str) -> list[str]:
    """Return the names of the attributes that a guest's VFs were promised,
    such as ``vlan``.

    :param xml: as libvirt has it.
    :raises KvmTuningError: it has some, but cannot be read.
    """
    # libvirt may have the receipt with another prefix.
    if VF_ATTRIBUTE not in xml:
        return []
    found = domain.read(xml).receipt
    return sorted(
        {
            setting.name.rpartition('/')[2]
            for setting in (found.settings if found else ())
            if setting.kind == VF_ATTRIBUTE
        }
    )


def ended(uuid: str) -> None:
    """Restore the previous attributes of a guest's VFs; a failure is logged,
    and it is tried again when nova-compute starts.
    """
    if os.access(f'/{_path()}', os.F_OK):
        with _lock:
            _restore({uuid})


def reconcile(running: Collection[str]) -> None:
    """Restore the VFs of guests that are not ``running``."""
    with _lock:
        _restore(None, running)


def _restore(
    over: Collection[str] | None, running: Collection[str] = ()
) -> None:
    try:
        steps = _engine().restore(
            lambda entry: (
                entry.owner not in running
                if over is None
                else entry.owner in over
            )
        )
    except (KvmTuningError, OSError) as error:
        LOG.warning('VFs could not be restored: %s', error)
        return
    for step in steps:
        _say(step)


def _say(step: Step) -> None:
    level = logging.INFO
    if step.result in (Result.FAILED, Result.FOREIGN):
        level = logging.WARNING
    LOG.log(
        level,
        'guest %s: VF %s=%s: %s %s',
        step.guest,
        step.name,
        step.value,
        step.result.value,
        step.detail,
    )


def _vf(setting: Setting) -> tuple[str, int]:
    pf, index, _name = setting.name.split('/')
    return pf, int(index)


def _engine() -> Engine:
    return Engine(WRITER, System('/'), _path())


def _path() -> str:
    """Return the file, below the root."""
    return os.path.join(
        CONF.state_path, 'kvm-tuning', 'vf-attributes.json'
    ).lstrip('/')
