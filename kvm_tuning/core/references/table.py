"""Which parts of a domain name which other part.

A vCPU, a guest cell, a disk's bus and a NIC's model are each named elsewhere
in the document. libvirt drops some of the names that lead nowhere, refuses
others, and 9.0 aborts on one; so they change together with the thing. Paths
and rules are those of libvirt's formatdomain.
"""

from dataclasses import dataclass
import enum

from kvm_tuning.core.xml import pins


class Thing(enum.Enum):
    """What can be named by a number."""

    VCPU = 'vCPU'
    CELL = 'guest cell'


class Fate(enum.Enum):
    """What becomes of an element whose thing is gone."""

    #: It goes, too.
    GOES = 'goes'
    #: It names a set, which gets smaller; it goes with the last one.
    SHRINKS = 'shrinks'
    #: It is a device of the guest: the change is refused.
    REFUSED = 'refused'


@dataclass(frozen=True, slots=True)
class Reference:
    """One place that names a thing."""

    thing: Thing
    #: Below ``<domain>``, without keys.
    path: str
    #: The attribute with the number or the set; '' for the text.
    attribute: str
    fate: Fate = Fate.GOES


def _of(
    thing: Thing, *names: tuple[str, str], fate: Fate = Fate.GOES
) -> tuple[Reference, ...]:
    return tuple(
        Reference(thing, path, attribute, fate) for path, attribute in names
    )


#: Parents stand before their children.
REFERENCES: tuple[Reference, ...] = (
    *_of(Thing.VCPU, (pins.VCPU_PIN, 'vcpu')),
    *_of(
        Thing.VCPU,
        ('cputune/vcpusched', 'vcpus'),
        ('cputune/cachetune', 'vcpus'),
        ('cputune/cachetune/monitor', 'vcpus'),
        ('cputune/memorytune', 'vcpus'),
        ('cputune/memorytune/monitor', 'vcpus'),
        fate=Fate.SHRINKS,
    ),
    *_of(
        Thing.CELL,
        ('cpu/numa/cell/distances/sibling', 'id'),
        ('cpu/numa/interconnects/latency', 'initiator'),
        ('cpu/numa/interconnects/latency', 'target'),
        ('cpu/numa/interconnects/bandwidth', 'initiator'),
        ('cpu/numa/interconnects/bandwidth', 'target'),
        ('numatune/memnode', 'cellid'),
    ),
    *_of(
        Thing.CELL,
        ('memoryBacking/hugepages/page', 'nodeset'),
        fate=Fate.SHRINKS,
    ),
    *_of(
        Thing.CELL,
        ('devices/memory/target/node', ''),
        ('devices/controller/target/node', ''),
        fate=Fate.REFUSED,
    ),
)

#: What tells elements of one tag and parent from each other, in paths.
KEYS: dict[str, tuple[str, ...]] = {
    pins.VCPU: ('vcpu',),
    'vcpusched': ('vcpus', 'scheduler'),
    'cachetune': ('vcpus',),
    'memorytune': ('vcpus',),
    'monitor': ('vcpus', 'level'),
    'cell': ('id',),
    'sibling': ('id',),
    'memnode': ('cellid',),
    'page': ('size', 'nodeset'),
    'latency': ('initiator', 'target', 'cache', 'type'),
    'bandwidth': ('initiator', 'target', 'cache', 'type'),
}

_VIRTIO = frozenset({'virtio'})
_SERIAL = frozenset({'ide', 'sata', 'scsi'})

#: What of a disk only some buses have: path below the disk ('' for itself),
#: attribute ('' for the element), buses.
BUS_BOUND: tuple[tuple[str, str, frozenset[str]], ...] = (
    ('', 'model', _VIRTIO),
    ('driver/iothreads', '', _VIRTIO),
    *(
        ('driver', name, _VIRTIO)
        for name in (
            'queues', 'queue_size', 'iothread', 'ioeventfd', 'event_idx',
            'iommu', 'ats', 'packed', 'page_per_vq',
        )
    ),
    ('target', 'rotation_rate', _SERIAL),
    ('target', 'removable', frozenset({'usb'})),
    ('geometry', 'trans', frozenset({'ide'})),
    ('wwn', '', frozenset({'ide', 'scsi'})),
    ('vendor', '', frozenset({'scsi'})),
    ('product', '', frozenset({'scsi'})),
)  # fmt: skip

#: What of a NIC only virtio models have, as path and attribute ('' for the
#: element): libvirt drops or refuses it.
MODEL_BOUND = (('driver', ''), ('backend', 'vhost'))
