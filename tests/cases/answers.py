"""The answers to the public cases of guests, and what is wrong with one."""

import contextlib
import dataclasses
import os
from pathlib import Path
import tarfile

from lxml import etree

from kvm_tuning import loader
from kvm_tuning.adapters import offline
from kvm_tuning.adapters.trial import planned
from kvm_tuning.adapters.trial.judge import Judge
from kvm_tuning.core import cpuset, documents, domain, request
from kvm_tuning.core.exceptions import KvmTuningError
from kvm_tuning.host import configuration
from tests.corpus import flavors, trial
from tests.fixtures.command import Command
from tests.fixtures.scenarios import GUESTS, site_of

#: A host with everything that a case asks for.
_HOST = {
    'host': {
        'cells': 2,
        'l3_per_cell': 2,
        'cores': 80,
        'threads': 2,
        'huge_pages': {2048: 4096, 1 << 20: 8},
    },
    'policy': {'dedicated': '16-639', 'shared': '0-15'},
    'capabilities': {'qemu': [7, 2, 0]},
}


@dataclasses.dataclass
class Answer:
    """What became of one case."""

    text: str
    #: The tuned domain; None when it was refused.
    root: etree._Element | None = None
    #: The code of the refusal; '' for none.
    refused: str = ''
    codes: frozenset[str] = frozenset()
    unkept: tuple[str, ...] = ()


def folder():
    """Return the folder of the cases; None when there is not one."""
    found = Path(os.environ.get('KVM_TUNING_CASES', ''), 'guest')
    return found if found.is_dir() else None


def failures(row, answer):
    """Return what of a right answer the answer lacks, as texts."""
    wrong = []
    if answer.refused not in row.get('refused', ['']):
        wrong.append(f'refused: {answer.refused or "not"}')
    for word in row.get('says', ()):
        if word not in answer.text:
            wrong.append(f'does not say {word!r}')
    missing = set(row.get('consequences', ())) - answer.codes
    wrong += [f'consequence {each} is missing' for each in sorted(missing)]
    if answer.root is None:
        return wrong
    if 'unkept' in row and list(answer.unkept) != row['unkept']:
        wrong.append(f'not kept: {answer.unkept}')
    for address, value in row.get('holds', {}).items():
        now = _found(answer.root, address)
        if now != (None if value is None else str(value)):
            wrong.append(f'{address} is {now}')
    if 'pcpus' in row and _pcpus(answer.root) != str(row['pcpus']):
        wrong.append(f'pCPUs {_pcpus(answer.root)}')
    return wrong


def _found(root, address):
    """Return what stands at ``path/attribute`` or ``path/text``; None for
    nothing, '' for an element that is merely there.
    """
    if root.find(address) is not None:
        return ''
    path, _, name = address.rpartition('/')
    element = root.find(path)
    if element is None:
        return None
    return element.text if name == 'text' else element.get(name)


def _pcpus(root):
    pins = [each.get('cpuset') for each in root.iterfind('cputune/vcpupin')]
    return cpuset.format(set().union(*map(cpuset.parse, pins)))


class Asker(contextlib.ExitStack):
    """Asks for answers; ``scratch`` is a folder for host trees."""

    def __init__(self, scratch):
        super().__init__()
        self._scratch = Path(scratch)
        self._judge = Judge(strict=True)
        self.callback(self._judge.close)

    def answer(self, folder, row):
        """Return the answer to one row of the table."""
        case = folder / row['case']
        if 'check' in row:
            return _checked(case / row['check'])
        try:
            if 'root' in row:
                return self._of_tree(folder, case, row)
            return self._of_document(case, row)
        except KvmTuningError as error:
            return Answer(f'{error.code}: {error}', refused=error.code)

    def _of_document(self, case, row):
        # Without KVM, what is written for it is tried in emulation.
        text = (case / row.get('guest', 'guest.xml')).read_text()
        if not os.access('/dev/kvm', os.W_OK):
            text = text.replace("type='kvm'", "type='qemu'", 1)
        stored = self._judge.define(self._judge.define(text).xml or text)
        if stored.xml is None:
            return Answer(stored.error, refused='input')
        flavor, image = _request(case, row)
        site = site_of({**_HOST, **row.get('site', {})})
        guest = domain.read(stored.xml)
        outcome = trial.tried(self._judge, stored.xml, flavor, image, site)
        if outcome.kind not in (trial.KEPT, trial.REFUSED):
            return Answer(f'{outcome.kind}: {outcome.detail}', refused='wrong')
        return _planned(flavor, image, guest, site, self._judge)

    def _of_tree(self, folder, case, row):
        archive = folder / row['root']
        where = self._scratch / row['root'].partition('.')[0]
        if not where.is_dir():
            with tarfile.open(archive) as tree:
                # Debian 12's Python has no argument for it (PEP 706).
                tree.extraction_filter = getattr(tarfile, 'tar_filter', None)
                tree.extractall(where)
        (root,) = map(str, where.iterdir())
        cpusets = {
            f'--{name}-cpus': text
            for name, text in row.get('policy', {}).items()
        }
        site, _ = offline.site(root, configuration.load(root), cpusets)
        flavor, image = _request(case, row)
        own = case / 'guest.xml'
        text = (own if own.exists() else _guest(row)).read_text()
        judge = Judge(missing='nobody judges a tree')
        return _planned(flavor, image, domain.read(text), site, judge)


def _guest(row):
    return GUESTS / f'{row.get("guest", "through")}.xml'


def _request(case, row):
    if 'flavor' in row and not isinstance(row['flavor'], str):
        specs = {k: str(v) for k, v in row['flavor'].items()}
        flavor = documents.Flavor(
            'f', '1', row.get('vcpus', 4), row.get('memory_mib', 4096), 0,
            specs,
        )  # fmt: skip
        return flavor, None
    name = row.get('flavor', 'flavor.yaml')
    path = flavors.ETC / name if '/' in name else case / name
    flavor = documents.flavor(path.read_text(), path.stem)
    image = case / 'image.yaml'
    if not image.exists():
        return flavor, None
    return flavor, documents.image(image.read_text(), 'image')


def _planned(flavor, image, guest, site, judge):
    hooks = loader.load()
    asked = request.read(
        flavor, image, loader.knobs(hooks), flavors.profiles()
    )
    tuned = planned.make(hooks, asked, guest, site, judge)
    made = tuned.plan
    texts = [
        f'not kept: {each.knob}={each.wanted}: {each.reason}'
        for each in made.unkept
    ] + [each.text for each in made.consequences if each.code != 'not-judged']
    root = domain.read(tuned.xml).root
    pins = _pcpus(root) if root.find('cputune/vcpupin') is not None else ''
    return Answer(
        '; '.join([f'planned on pCPUs {pins}' if pins else 'planned', *texts]),
        root,
        codes=frozenset(each.code for each in made.consequences),
        unkept=tuple(e.knob.partition('=')[0] for e in made.unkept),
    )


def _checked(path):
    """Return the answer of ``flavor check``."""
    with Command() as command:
        status, output, error = command.run('flavor', 'check', str(path))
    return Answer(f'{output}{error}', refused=str(status) if status else '')
