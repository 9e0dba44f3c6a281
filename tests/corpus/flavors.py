"""The flavors of the corpus: samples, profiles, and one for each knob."""

import functools
from pathlib import Path

from kvm_tuning import loader
from kvm_tuning.conf.profiles import read, texts
from kvm_tuning.core import documents, knobs, request
from kvm_tuning.core.documents import Flavor, Image

ETC = Path(__file__).parents[2] / 'etc' / 'kvm_tuning'

#: What a knob needs besides itself.
_BESIDES = {
    'kvm:cache_topology': {'hw:cpu_policy': 'dedicated'},
    'kvm:cpu_locality_policy': {
        'hw:cpu_policy': 'dedicated', 'kvm:cpu_locality': 'numa',
    },
    'hw:cpu_thread_policy': {'hw:cpu_policy': 'dedicated'},
    'hw:cpu_dedicated_mask': {'hw:cpu_policy': 'mixed'},
    'hw:emulator_threads_policy': {'hw:cpu_policy': 'dedicated'},
    'hw:locked_memory': {'hw:mem_page_size': 'small'},
    'kvm:disk_iothread_map': {'kvm:iothreads': '2'},
}  # fmt: skip
#: Values of the kinds that are no closed list.
_VALUES = {
    'hw:numa_nodes': ('1', '2'),
    'hw:mem_page_size': ('small', 'large', '2MB'),
    'hw:cpu_dedicated_mask': ('0',),
    'kvm:iothreads': ('1', '3'),
    'kvm:vif_queues': ('1', '2', 'auto'),
    'kvm:disk_queues': ('1', '2', 'auto'),
}


@functools.cache
def profiles():
    """Return the knob texts of the profiles that come with us, by name."""
    found = read(loader.knobs(loader.load()), '/nonexistent')
    return texts(found.values())


def _choices(knob):
    if knob.name in _VALUES:
        return _VALUES[knob.name]
    kind = knob.kind
    if isinstance(kind, knobs.Choice):
        return kind.values
    if isinstance(kind, knobs.Flag):
        return ('true', 'false')
    return ()


def requests(vcpus, memory_mib):
    """Yield the name and the extra specs, image properties and size of each
    flavor, for a guest of a size.
    """
    for path in sorted((ETC / 'flavors').glob('*.yaml')):
        flavor = documents.flavor(path.read_text(), path.stem)
        yield path.stem, flavor, None
        if path.stem == 'windows-desktop':
            for image in sorted((ETC / 'images').glob('*.yaml')):
                found = documents.image(image.read_text(), image.stem)
                yield f'{path.stem}+{image.stem}', flavor, found
    for name in profiles():
        specs = {request.PROFILE: name}
        yield f'profile={name}', _flavor(vcpus, memory_mib, specs), None
    for name, knob in loader.knobs(loader.load()).items():
        if knob.parameter is not None or name == request.PROFILE:
            continue
        for text in _choices(knob):
            specs = {**_BESIDES.get(name, {})}
            properties = {}
            if name.startswith(('hw:', 'kvm:')):
                specs[name] = text
            else:
                properties[name] = text
                specs['kvm:page_sharing'] = 'false'
            image = Image('i', '1', properties) if properties else None
            flavor = _flavor(vcpus, memory_mib, specs)
            yield f'{name}={text}', flavor, image
    for name, size in (
        ('fewer', (max(1, vcpus // 2), max(128, memory_mib // 2))),
        ('more', (vcpus * 2, memory_mib * 2)),
        ('odd', (vcpus + 3, memory_mib + 96)),
    ):
        for policy in ('shared', 'dedicated'):
            specs = {'hw:cpu_policy': policy, 'kvm:page_sharing': 'false'}
            yield f'size={name},{policy}', _flavor(*size, specs), None


def _flavor(vcpus, memory_mib, specs):
    return Flavor('f', '1', vcpus, memory_mib, 0, specs)
