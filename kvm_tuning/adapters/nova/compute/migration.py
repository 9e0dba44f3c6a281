"""Live migration: what the source writes, and what the destination plans.

The source knows neither the destination's caches nor its shared pCPUs. So it
writes what any destination can start: what Nova's own rewriting dropped is put
back, and every iothread runs inside the pins that Nova computed for the
destination. For a guest without cells Nova computes none: it goes without our
pins and memory binding, so that libvirt keeps all of its threads in ``<vcpu
cpuset>``, which is the destination's. The destination plans again once the
guest is there.
"""

from collections.abc import Callable, Iterable
import logging
from typing import Any

from lxml import etree
from nova import exception

from kvm_tuning import loader
from kvm_tuning.adapters.nova.compute import faults, virtual_functions
from kvm_tuning.core import domain, edit
from kvm_tuning.core.domain import Domain
from kvm_tuning.core.edit import Promise
from kvm_tuning.core.effects import Absent, Element
from kvm_tuning.core.exceptions import KvmTuningError
from kvm_tuning.core.xml import paths, pins

LOG = logging.getLogger(__name__)

# What Nova creates again for the destination, so that our part is lost.
_MADE_ANEW = ('devices/', 'memoryBacking')
# Where the guest is, on this host.
_PLACE = ('cputune/', 'numatune/')


class Source:
    """Stands in for a Nova guest while it is migrated away: everything is the
    guest's own except what its destination is given.
    """

    def __init__(self, guest: Any) -> None:
        self._kvm_tuning_guest = guest

    def __eq__(self, other: object) -> bool:
        return other is self or other is self._kvm_tuning_guest

    def __hash__(self) -> int:
        return hash(self._kvm_tuning_guest)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._kvm_tuning_guest, name)

    def migrate(self, *args: Any, **kwargs: Any) -> Any:
        """Migrate the guest, with our part of the destination's XML."""
        xml = kwargs.get('destination_xml')
        if xml:
            kwargs['destination_xml'] = destination(
                xml, self._kvm_tuning_guest.get_xml_desc
            )
        return self._kvm_tuning_guest.migrate(*args, **kwargs)


def check(guest: Any) -> None:
    """Refuse a guest whose VFs have attributes: nothing would set them on the
    destination before the guest runs there, and its receipt would say that
    they are set.

    :param guest: Nova's, on its source.
    :raises MigrationPreCheckError: as Nova's own checks.
    """
    try:
        names = virtual_functions.promised(guest.get_xml_desc())
    except KvmTuningError as error:
        raise exception.MigrationPreCheckError(
            reason=faults.told(error)
        ) from error
    if names:
        keys = ', '.join(_keys_of(names))
        raise exception.MigrationPreCheckError(
            reason=f'{keys}: a live migration sets no attributes of VFs on '
            f'the destination; migrate the server cold (openstack server '
            f'migrate, without --live-migration)'
        )


def _keys_of(attributes: Iterable[str]) -> list[str]:
    """Return the knobs that set attributes of a VF."""
    keys = {
        knob.pf_attribute: name
        for name, knob in loader.knobs(loader.load()).items()
    }
    return [keys.get(each, each) for each in attributes]


def destination(xml: str, live: Callable[[], str]) -> str:
    """Return the XML for the destination; unchanged if it has nothing of ours.

    :param live: returns the guest's own XML, as it runs: its devices must have
        the same there, whatever was promised since.
    """
    try:
        found = domain.read(xml)
        if found.receipt is None:
            return xml
        running = domain.read(live()).root
    except KvmTuningError as error:
        LOG.warning('the guest migrates as Nova wrote it: %s', error)
        return xml
    return _written(found, running)


def _written(found: Domain, running: etree._Element) -> str:
    root = found.root
    editor = edit.Editor(root)
    promises = found.receipt.promises if found.receipt else ()
    # Nova rewrites only the pins and nodesets of guests with cells.
    floats = root.find('cpu/numa/cell') is None
    for promise in promises:
        if not isinstance(promise, Promise):
            continue
        if promise.path.startswith(_MADE_ANEW):
            _keep(editor, promise, running)
        elif floats and promise.path.startswith(_PLACE):
            editor.remove(Absent(promise.path))
    emulator = root.find(pins.EMULATOR_PIN)
    cpus = None if emulator is None else emulator.get('cpuset')
    if cpus is not None:
        for pin in root.iterfind(pins.IOTHREAD_PIN):
            pin.set('cpuset', cpus)
    return etree.tostring(root, encoding='unicode')


def _keep(
    editor: edit.Editor, promise: Promise, running: etree._Element
) -> None:
    """Write again what was promised, with the values that the guest
    runs with.
    """
    elements = paths.find(running, promise.path)
    if not elements:
        return
    attributes = {
        name: elements[0].get(name)
        for name in promise.wanted
        if name != edit.TEXT
    }
    text = elements[0].text if edit.TEXT in promise.wanted else None
    try:
        editor.apply(Element(promise.path, attributes, text))
    except KvmTuningError as error:
        LOG.warning('%s is not migrated: %s', promise.path, error)
