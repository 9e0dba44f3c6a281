"""Who else sets the scheduler of a disk: rules of udev's, above all.

At every add and change event of a disk all rules run, and the last one that
sets its scheduler wins; programs (RUN) run after all rules (udev(7)).
"""

from collections.abc import Iterator

from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.kinds.udev import PATH as OUR_RULES
from kvm_tuning.host.prep.writers import events, names, target
from kvm_tuning.host.prep.writers import find as writers
from kvm_tuning.host.prep.writers.udev_events import Device


def find(host: Host, disk: str) -> Iterator[str]:
    """Yield who else sets the scheduler of a disk, in a few words each."""
    path = f'sys/class/block/{disk}/queue/scheduler'
    wanted = target.target(names.of(host, path))
    devices = list(_device(host, disk))
    for writer in writers.find(host, wanted, devices, after=OUR_RULES):
        yield f'{writer.name} ({writer.text})'


def _device(host: Host, disk: str) -> Iterator[Device]:
    real = host.tree.real(f'sys/class/block/{disk}')
    if real is not None:
        number = host.tree.text(f'{real}/dev')
        given = {'DEVTYPE': 'disk', 'DEVNAME': f'/dev/{disk}'}
        properties, complete = events.known(host.tree, f'b{number}', given)
        yield Device(host.tree, real, 'block', properties, complete)
