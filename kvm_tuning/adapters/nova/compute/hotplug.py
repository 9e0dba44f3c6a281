"""Tune devices that Nova plugs into a running guest, as its flavor requests.

The guest is planned with the device added, and the part of that plan below the
device is written into the device's own XML. The guest that a device is for is
kept in a context variable, because Nova does not pass it to every function.
"""

from collections.abc import Iterator, Sequence
import contextlib
from contextvars import ContextVar
import copy
from dataclasses import dataclass
import logging
from typing import Any

from lxml import etree

from kvm_tuning.adapters.nova.compute import hotplug_room
from kvm_tuning.adapters.nova.compute.tuning import Tuning, effects_below
from kvm_tuning.core import domain, edit
from kvm_tuning.core import guest as guests
from kvm_tuning.core.effects import Absent, Element
from kvm_tuning.core.guest import Guest

LOG = logging.getLogger(__name__)


# A whole function that a guest gets, a <hostdev>, has nothing to tune.
_TUNED = ('interface', 'disk')


@dataclass(frozen=True, slots=True)
class Plug:
    """A guest that a device is plugged into."""

    tuning: Tuning
    instance: Any
    image_meta: Any
    #: Its XML, as it runs.
    xml: str
    #: If the guest does not run, Nova creates its devices again at the start.
    running: bool = True


_plug: ContextVar[Plug | None] = ContextVar('plug', default=None)


@contextlib.contextmanager
def into(plug: Plug | None) -> Iterator[None]:
    """Treat the devices that are created within as ``plug``'s guest's."""
    token = _plug.set(plug)
    try:
        yield
    finally:
        _plug.reset(token)


def tuned(conf: Any) -> Any:
    """Tune a device's configuration for the guest that it is plugged into;
    return it unchanged outside :func:`into`.

    :param conf: a ``LibvirtConfigGuestDevice``; it keeps its class, and writes
        its XML with our changes.
    :raises KvmTuningError: a request cannot be kept.
    """
    plug = _plug.get()
    if plug is None:
        return conf
    element = conf.format_dom()
    if element.tag not in _TUNED:
        return conf
    effects = _effects(plug, element)
    if not effects:
        return conf
    stock = conf.format_dom

    def format_dom() -> etree._Element:
        return write(stock(), effects)

    conf.format_dom = format_dom
    return conf


def write(
    device: etree._Element, effects: Sequence[Element | Absent]
) -> etree._Element:
    """Return a device's element with ``effects`` in it, its own paths."""
    editor = edit.Editor(device)
    for effect in effects:
        if isinstance(effect, Element):
            editor.apply(effect)
        else:
            editor.remove(effect)
    return device


def _effects(plug: Plug, element: etree._Element) -> list[Element | Absent]:
    # The receipt holds promises of the guest as it was: the facts are those of
    # the running guest, and the device as Nova created it.
    live = domain.read(plug.xml)
    root = copy.deepcopy(live.untuned.root)
    devices = root.find('devices')
    if devices is None:
        devices = etree.SubElement(root, 'devices')
    _add(devices, element)
    guest = guests.read(root)
    path = _path(guest, element)
    made = plug.tuning.plan(plug.instance, plug.image_meta, guest)
    effects = effects_below(made, path)
    if not plug.running:
        return effects
    return list(
        hotplug_room.left(effects, element.tag, made.request, live.current)
    )


def _add(devices: etree._Element, element: etree._Element) -> None:
    """Add a device; a disk that is swapped replaces the other one."""
    for disk in devices.iterfind('disk'):
        if element.tag == 'disk' and _target(disk) == _target(element):
            devices.replace(disk, element)
            return
    devices.append(element)


def _path(guest: Guest, element: etree._Element) -> str:
    if element.tag == 'interface':
        return guest.interfaces[-1].path
    target = _target(element)
    return next(disk.path for disk in guest.disks if disk.target == target)


def _target(disk: etree._Element) -> str | None:
    target = disk.find('target')
    return None if target is None else target.get('dev')
