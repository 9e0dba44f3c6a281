"""Read flavor and image documents.

These are what ``openstack flavor show`` and ``openstack image show`` print
with ``-f json`` or ``-f yaml``, with old and new clients alike: properties as
a mapping or as the text ``hw:cpu_policy='dedicated', kvm:x='1'``, an image's
also at the top level, and the document as a list of fields and values.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
import json
import re
from typing import NoReturn

from kvm_tuning.core import plain_text
from kvm_tuning.core.cpuset import MAX_CPU
from kvm_tuning.core.exceptions import InvalidDocument
from kvm_tuning.core.nova.image_properties import OLD_NAMES
from kvm_tuning.core.plain_text import Tree
from kvm_tuning.core.wording import short

#: The size of Nova's and Glance's columns for names and keys, and of Nova's
#: for extra specs.
MAX_NAME = 255
#: Glance's column of property values (MySQL's TEXT).
MAX_VALUE = 65_535
#: The most extra specs or properties of one document.
MAX_PROPERTIES = 1024
#: MiB and GiB: Nova's columns are 32 bits.
MAX_SIZE = 2**31 - 1

# What XML, and so a domain's metadata, cannot contain.
_UNPRINTABLE = re.compile(
    '[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]'
)

# ``key='value'``, separated by commas. A value may contain quotes and commas:
# it ends where the next key begins.
_PAIR = re.compile(r"([^=']+)='(.*?)'(?:, *(?=[^=']+=')|\s*\Z)", re.DOTALL)

_IMAGE_PREFIXES = ('hw_', 'os_', 'img_', 'trait:')


@dataclass(frozen=True, slots=True)
class Flavor:
    """A flavor: what an operator sells."""

    name: str
    id: str
    vcpus: int
    ram_mib: int
    disk_gib: int = 0
    extra_specs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NewFlavor:
    """What a cloud has to know to make a flavor."""

    flavor: Flavor
    #: None: the cloud chooses one.
    id: str | None
    public: bool
    swap_mib: int
    ephemeral_gib: int
    rxtx_factor: float
    description: str | None
    #: IDs of the projects that may use a private flavor.
    projects: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Image:
    """An image's description: a tenant's input."""

    name: str
    id: str
    properties: Mapping[str, str] = field(default_factory=dict)
    min_ram_mib: int = 0
    min_disk_gib: int = 0


def flavor(text: str, origin: str) -> Flavor:
    """Return the flavor that ``text`` describes.

    :param origin: what messages call the document, such as its path.
    :raises InvalidDocument: it is malformed; names the field and its value.
    """
    return _flavor(_Document(text, origin, 'flavor'))


def new_flavor(text: str, origin: str) -> NewFlavor:
    """Return the flavor that ``text`` describes, with all that only its
    creation needs.

    :param origin: what to call the document in messages, such as its path.
    :raises InvalidDocument: what is wrong, with the field and its value.
    """
    document = _Document(text, origin, 'flavor')
    found = _flavor(document)
    public = document.one_of('os-flavor-access:is_public', 'is_public')
    projects = document.names('access_project_ids')
    if projects and document.truth(public, True):
        document.refuse(
            f'access_project_ids={_said(list(projects))}: want a flavor '
            f'with {public}=false, as a public one is for all'
        )
    return NewFlavor(
        found,
        id=None if found.id in ('', 'auto') else found.id,
        public=document.truth(public, True),
        swap_mib=document.number('swap', 0, MAX_SIZE, 0),
        ephemeral_gib=document.number(
            document.one_of('OS-FLV-EXT-DATA:ephemeral', 'ephemeral'),
            0,
            MAX_SIZE,
            0,
        ),
        rxtx_factor=document.factor('rxtx_factor'),
        description=document.name('description', '') or None,
        projects=projects,
    )


def _flavor(document: '_Document') -> Flavor:
    return Flavor(
        name=document.name('name'),
        id=document.name('id', ''),
        vcpus=document.number('vcpus', 1, MAX_CPU + 1),
        ram_mib=document.number('ram', 1, MAX_SIZE),
        disk_gib=document.number('disk', 0, MAX_SIZE, 0),
        extra_specs=document.properties(MAX_NAME),
    )


def image(text: str, origin: str) -> Image:
    """Return the image that ``text`` describes.

    :param origin: what messages call the document, such as its path.
    :raises InvalidDocument: it is malformed; names the field and its value.
    """
    document = _Document(text, origin, 'image')
    if 'vcpus' in document.fields:
        document.refuse('it has vcpus, as a flavor does: want an image')
    id_ = document.name('id', '')
    return Image(
        # An image need not have a name.
        name=document.name('name', id_ or None),
        id=id_,
        properties={
            **document.properties_at_top(),
            **document.properties(MAX_VALUE),
        },
        min_ram_mib=document.number('min_ram', 0, MAX_SIZE, 0),
        min_disk_gib=document.number('min_disk', 0, MAX_SIZE, 0),
    )


class _Document:
    """The fields of one document, read one by one."""

    def __init__(self, text: str, origin: str, kind: str) -> None:
        self.origin = origin
        self.kind = kind
        try:
            tree = plain_text.read(text)
        except ValueError as exc:
            self.refuse(str(exc))
        if isinstance(tree, list):
            tree = _from_rows(tree)
        # As Nova's and Glance's own APIs wrap it.
        if isinstance(tree, dict) and list(tree) == [kind]:
            tree = tree[kind]
        if not isinstance(tree, dict):
            self.refuse(f'want one {kind}, as openstack {kind} show prints it')
        self.fields: Mapping[str, Tree] = tree

    def refuse(self, why: str) -> NoReturn:
        raise InvalidDocument(f'{self.kind} of {self.origin}: {why}')

    def name(self, name: str, default: str | None = None) -> str:
        """Return a text; ``default`` where it is missing, unless
        that is None.
        """
        value = self.fields.get(name)
        if value is None or value == '':
            if default is None:
                self.refuse(f'it has no {name}')
            return default
        if not isinstance(value, str):
            self.refuse(f'{name}={_said(value)}: want a text')
        return self._checked(name, value, MAX_NAME)

    def number(
        self, name: str, least: int, most: int, default: int | None = None
    ) -> int:
        """Return a whole number; ``default`` where it is missing."""
        value = self.fields.get(name)
        # (Old clients print an empty text for no swap.)
        if value is None or value == '':
            if default is None:
                self.refuse(f'it has no {name}')
            return default
        if isinstance(value, str) and re.fullmatch('[0-9]{1,10}', value):
            number = int(value)
            if least <= number <= most:
                return number
        self.refuse(
            f'{name}={_said(value)}: want a whole number from {least} to '
            f'{most}'
        )

    def one_of(self, *names: str) -> str:
        """Return the name by which a field is there; the first where it is
        not, or where all say the same.
        """
        there = [name for name in names if self.fields.get(name) is not None]
        values = [self.fields[name] for name in there]
        if any(value != values[0] for value in values):
            self.refuse(
                ' and '.join(
                    f'{name}={_said(self.fields[name])}' for name in there
                )
                + ': want one of them'
            )
        return there[0] if there else names[0]

    def truth(self, name: str, default: bool) -> bool:
        """Return a boolean; ``default`` where it is missing."""
        value = self.fields.get(name)
        if value is None or value == '':
            return default
        words = {'true': True, 'false': False}
        if isinstance(value, str) and value.lower() in words:
            return words[value.lower()]
        self.refuse(f'{name}={_said(value)}: want true or false')

    def factor(self, name: str) -> float:
        """Return a positive number; 1 where it is missing."""
        value = self.fields.get(name)
        if value is None or value == '':
            return 1.0
        if isinstance(value, str) and re.fullmatch(
            r'[0-9]{1,9}(\.[0-9]{1,9})?', value
        ):
            return float(value)
        self.refuse(f'{name}={_said(value)}: want a number such as 1.0')

    def names(self, name: str) -> tuple[str, ...]:
        """Return a list of texts, or a text with commas between them."""
        value = self.fields.get(name)
        if value is None:
            return ()
        if isinstance(value, str):
            value = [each.strip() for each in value.split(',') if each.strip()]
        found = []
        for each in value if isinstance(value, list) else [None]:
            if not isinstance(each, str):
                self.refuse(f'{name}={_said(value)}: want a list of texts')
            found.append(self._checked(name, each, MAX_NAME))
        return tuple(found)

    def properties(self, longest: int) -> dict[str, str]:
        """Return the field ``properties`` without the entries that
        are null.
        """
        # Nova's API calls them extra_specs, the client properties.
        name = self.one_of('properties', 'extra_specs')
        value = self.fields.get(name)
        if value is None:
            return {}
        if isinstance(value, str):
            value = self._pairs(value)
        if not isinstance(value, dict):
            self.refuse(f'{name}={_said(value)}: want a mapping')
        return self._texts(value, longest)

    def properties_at_top(self) -> dict[str, str]:
        """Return properties that an old client printed among the fields."""
        return self._texts(
            {
                name: value
                for name, value in self.fields.items()
                if name.startswith(_IMAGE_PREFIXES) or name in OLD_NAMES
            },
            MAX_VALUE,
        )

    def _pairs(self, text: str) -> dict[str, Tree]:
        """Return the properties of ``key='value', ...``."""
        found: dict[str, Tree] = {}
        text = text.strip()
        place = 0
        while place < len(text):
            match = _PAIR.match(text, place)
            if match is None:
                self.refuse(
                    f'properties={short(text[place:])}: want a mapping, or '
                    "key='value' pairs separated by commas"
                )
            key = match[1].strip()
            if key in found:
                self.refuse(
                    f'the property {short(key)} appears twice: want it once'
                )
            found[key] = match[2]
            place = match.end()
        return found

    def _texts(
        self, values: Mapping[str, Tree], longest: int
    ) -> dict[str, str]:
        if len(values) > MAX_PROPERTIES:
            self.refuse(
                f'{len(values)} properties: want at most {MAX_PROPERTIES}'
            )
        texts = {}
        for name, value in values.items():
            if value is None:
                continue
            if not isinstance(value, str):
                if self.kind == 'flavor':
                    self.refuse(f'{short(name)}={_said(value)}: want a text')
                # Glance keeps such values as JSON texts.
                value = json.dumps(value)
            self._checked('the key', name, MAX_NAME)
            texts[name] = self._checked(short(name), value, longest)
        return texts

    def _checked(self, name: str, text: str, longest: int) -> str:
        if len(text) > longest:
            self.refuse(
                f'{name}={short(text)}: want at most {longest} characters'
            )
        if _UNPRINTABLE.search(text):
            self.refuse(f'{name}={short(text)}: want no control characters')
        return text


def _from_rows(rows: list[Tree]) -> Tree:
    """Return the fields of a list of ``{"Field": ..., "Value": ...}``."""
    fields: dict[str, Tree] = {}
    for row in rows:
        if not isinstance(row, dict) or row.keys() != {'Field', 'Value'}:
            return None
        name = row['Field']
        if not isinstance(name, str) or name in fields:
            return None
        fields[name] = row['Value']
    return fields or None


def _said(value: Tree) -> str:
    return short(value if isinstance(value, str) else json.dumps(value))
