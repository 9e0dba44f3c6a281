#!/usr/bin/env python3
"""Time plan + tune of a domain against a bare lxml edit of the same XML.

Prints medians of CPU time and the ratio, taken in one run, in turns. The bare
edit parses, sets the same elements and attributes (without a receipt) and
serialises. The bar: a ratio of at most 10.
"""

import argparse
import pathlib
import statistics
import sys
import time

from lxml import etree

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from kvm_tuning import loader  # noqa: E402
from kvm_tuning.core import domain, plan, request  # noqa: E402
from kvm_tuning.core.documents import Flavor  # noqa: E402
from kvm_tuning.core.edit import Editor  # noqa: E402
from kvm_tuning.core.effects import Element  # noqa: E402
from kvm_tuning.core.site import (  # noqa: E402
    Capabilities,
    Policy,
    Probe,
    Site,
    Storage,
)
from tests.fixtures.fake_host import FakeHost  # noqa: E402

YES = Probe(True, 'works')
SPECS = {
    'hw:cpu_policy': 'dedicated',
    'hw:mem_page_size': '2048',
    'kvm:cpu_locality': 'l3',
    'kvm:iothreads': '2',
    'kvm:disk_cache': 'none',
    'kvm:disk_io': 'native',
    'kvm:disk_queues': 'auto',
    'kvm:vif_backend': 'vhost',
    'kvm:vif_queues': '4',
    'kvm:vif_rx_ring': '1024',
    'kvm:page_sharing': 'false',
}
ABLE = Capabilities(
    kernel=(6, 12, 0),
    libvirt=(11, 0, 0),
    qemu=(10, 0, 0),
    kvm=YES,
    vhost_net=YES,
    io_uring=YES,
    tap_queues=256,
    storage={
        '/images/root.raw': Storage('file', YES, YES),
        '/dev/vg/data': Storage('block', YES, YES),
    },
)


def xml_of(vcpus: int, memory_mib: int) -> str:
    """Return a domain of two disks and two NICs, as libvirt prints it."""
    text = (ROOT / 'tests/scenarios/guests/plain.xml').read_text()
    text = text.replace("'>4</vcpu>", f"'>{vcpus}</vcpu>")
    return text.replace('2097152', str(memory_mib * 1024))


def case(vcpus: int, cells: int) -> tuple[str, request.Request, Site]:
    """Return the XML, the request and the site of one guest."""
    memory_mib = vcpus * 1024
    specs = {**SPECS, 'hw:numa_nodes': str(cells)}
    asked = request.read(
        Flavor('bench', '1', vcpus, memory_mib, 0, specs),
        None,
        loader.knobs(loader.load()),
    )
    inventory = FakeHost(
        cells=max(cells, 2),
        l3_per_cell=2,
        cores=8,
        threads=2,
        huge_pages={2048: vcpus * 512},
        memory_gib=2 * vcpus * max(cells, 2),
    ).inventory()
    site = Site(inventory, capabilities=ABLE, policy=Policy(inventory.online))
    return xml_of(vcpus, memory_mib), asked, site


def _named(device: etree._Element, tag: str, key: str) -> str:
    found = device.find(tag)
    assert found is not None
    return str(found.get(key))


def bare(xml: str, made: plan.Plan) -> str:
    """Edit as one would by hand who knows where everything goes."""
    root = etree.fromstring(xml)
    known: dict[str, etree._Element] = {'cputune': root}
    disks = {_named(e, 'target', 'dev'): e for e in root.iter('disk')}
    nics = {_named(e, 'mac', 'address'): e for e in root.iter('interface')}
    for effect in made.effects:
        if not isinstance(effect, Element):
            continue
        path = effect.path
        if path.startswith('devices/'):
            parents = disks if path.startswith('devices/disk') else nics
            parent = parents[path.split("'")[1]]
            element = parent.find('driver')
            if element is None:
                element = etree.SubElement(parent, 'driver')
        else:
            element, above = root, ''
            for tag in path.split('/'):
                above = f'{above}/{tag}'
                child = known.get(above)
                if child is None:
                    name, _, key = tag.partition('[@')
                    child = known[above] = etree.SubElement(element, name)
                    if key:
                        attribute, _, value = key.partition('=')
                        child.set(attribute, value.strip("']"))
                element = child
        for key, wanted in effect.attributes.items():
            if wanted is not None:
                element.set(key, wanted)
        if effect.text is not None:
            element.text = effect.text
    return etree.tostring(root, encoding='unicode')


def ours(xml: str, asked: request.Request, site: Site) -> str:
    """Plan and tune, as every caller does."""
    which = domain.read(xml)
    made = plan.make(loader.load(), asked, which.guest, site)
    return domain.tune(which, made)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('-n', '--runs', type=int, default=200)
    runs = parser.parse_args().runs
    for vcpus, cells in ((8, 1), (128, 8)):
        xml, asked, site = case(vcpus, cells)
        which = domain.read(xml)
        made = plan.make(loader.load(), asked, which.guest, site)
        editor = Editor(etree.fromstring(bare(xml, made)))
        for effect in made.effects:  # both do the same work
            if isinstance(effect, Element):
                assert editor.apply(effect).made == 0, effect.path
        samples: dict[str, list[float]] = {'bare': [], 'ours': []}
        for _ in range(runs):
            start = time.thread_time()
            bare(xml, made)
            middle = time.thread_time()
            ours(xml, asked, site)
            end = time.thread_time()
            samples['bare'].append(middle - start)
            samples['ours'].append(end - middle)
        base, own = (statistics.median(s) * 1e6 for s in samples.values())
        print(
            f'{vcpus} vCPUs in {cells} cells, {len(made.effects)} effects: '
            f'bare lxml {base:.0f} us, plan + tune {own:.0f} us, '
            f'ratio {own / base:.1f} (median of {runs} runs in turns)'
        )


if __name__ == '__main__':
    main()
