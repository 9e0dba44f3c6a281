"""The domain documents of libvirt's own tests, from Debian's source package.

apt verifies its checksum against the signed list of packages; nothing of it is
built or run.
"""

import os
from pathlib import Path
import re
import subprocess
import tarfile
import tempfile

#: A document is not larger, and there are not more of them.
_MAX_BYTES = 256 * 1024
_MAX_FILES = 20_000
#: Folders of the source tree whose files are domains.
_FOLDERS = (
    'qemuxml2argvdata',
    'qemuxmlconfdata',
    'genericxml2xmlindata',
    'qemustatusxml2xmldata',
    'qemuhotplugtestdomains',
    'domainschemadata',
    'qemuxml2xmloutdata',
)
_DEB822 = Path('/etc/apt/sources.list.d')
_LIST = Path('/etc/apt/sources.list')
_HELPER = '/usr/lib/apt/apt-helper'
_ARCHIVE = re.compile(r'libvirt_[^/]*\.orig\.tar\.[a-z0-9]*z[0-9a-z]*')


def source_version():
    """Return the version of the source package of the installed libvirt."""
    found = subprocess.run(
        ['dpkg-query', '-W', '-f', '${source:Version}', 'libvirt0'],
        check=True,
        capture_output=True,
        text=True,
    )
    return found.stdout.strip()


def fetched(cache):
    """Return the folder of the documents, fetched if need be.

    :param cache: where what is fetched stays.
    """
    version = source_version()
    folder = Path(cache) / f'libvirt-{version}'
    if not folder.is_dir():
        with tempfile.TemporaryDirectory(dir=cache) as work:
            archive = _download(Path(work), version)
            made = Path(work) / 'domains'
            made.mkdir()
            _extract(archive, made)
            made.rename(folder)
    return folder


def documents(folder):
    """Return the documents by name, those of equal text once."""
    found = {}
    for path in sorted(folder.glob('*.xml')):
        found.setdefault(path.read_text(), path.stem)
    return {name: xml for xml, name in found.items()}


def _download(work, version):
    """Fetch the source package with apt, from the mirrors that this host
    uses, by lists of its own.
    """
    parts, lists = work / 'sources', work / 'lists'
    parts.mkdir()
    (lists / 'partial').mkdir(parents=True)
    for path in sorted(_DEB822.glob('*.sources')):
        _as_source(path.read_text(), parts / path.name)
    if _LIST.exists():
        lines = [
            line.replace('deb ', 'deb-src ', 1)
            for line in _LIST.read_text().splitlines()
            if line.startswith('deb ')
        ]
        (parts / 'list.list').write_text('\n'.join(lines) + '\n')
    options = [
        '-oDir::Etc::SourceList=/dev/null',
        f'-oDir::Etc::SourceParts={parts}',
        f'-oDir::State::Lists={lists}',
        '-oAPT::Sandbox::User=root',
    ]
    # A mirror of something else may have no sources.
    subprocess.run(['apt-get', '-qq', *options, 'update'], check=False)
    told = subprocess.run(
        [
            'apt-get', '-qq', *options, 'source', '--print-uris',
            f'libvirt={version}',
        ],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout  # fmt: skip
    # The archive alone: a mirror may lack what describes and signs it.
    for line in told.splitlines():
        address, name, _size, checksum = line.split()
        if _ARCHIVE.fullmatch(name):
            subprocess.run(
                [
                    _HELPER,
                    '-oAPT::Sandbox::User=root',
                    'download-file',
                    address.strip("'"),
                    name,
                    checksum,
                ],
                check=True,
                cwd=work,
                stdout=subprocess.DEVNULL,
            )
            return work / name
    raise LookupError(f'apt knows no archive of libvirt {version}: {told}')


def _as_source(text, path):
    """Write a deb822 file whose entries are source packages'."""
    entries = [
        entry
        for entry in text.split('\n\n')
        if 'debian.org' in entry and 'Types:' in entry
    ]
    lines = [
        'Types: deb-src' if line.startswith('Types:') else line
        for entry in entries
        for line in [*entry.splitlines(), '']
    ]
    path.write_text('\n'.join(lines))


def _extract(archive, into):
    """Write each domain of the archive as a file of its own."""
    count = 0
    with tarfile.open(archive) as source:
        for member in source:
            parts = Path(member.name).parts
            if (
                not member.isfile()
                or member.size > _MAX_BYTES
                or not member.name.endswith('.xml')
                or parts[-2] not in _FOLDERS
                or parts[-3] != 'tests'
            ):
                continue
            text = source.extractfile(member).read()
            if b'<domain' not in text[:4096] or count > _MAX_FILES:
                continue
            count += 1
            name = f'{parts[-2]}--{Path(member.name).name}'
            (into / name).write_bytes(text)


def cache_folder():
    """Return where the tiers keep what they fetch."""
    folder = os.environ.get('KVM_TUNING_CACHE')
    path = Path(folder or Path(__file__).parents[2] / '.cache') / 'corpus'
    path.mkdir(parents=True, exist_ok=True)
    return path
