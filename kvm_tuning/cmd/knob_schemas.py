"""What flavors and images may say, as JSON schemas and for Horizon."""

from collections.abc import Iterable, Mapping
import re
from typing import Any

from kvm_tuning.core import documents
from kvm_tuning.core.cpuset import MAX_CPU
from kvm_tuning.core.knobs import Knob

DIALECT = 'https://json-schema.org/draft/2020-12/schema'
#: The prefix of our extra specs, and Glance's name of them all.
PREFIX = 'kvm:'
NAMESPACE = 'OS::Compute::KvmTuning'
#: Glance's longest description of a namespace is 500 characters.
_ABOUT = (
    'What kvm-tuning does for a guest of this flavor: where its vCPUs, '
    'threads and memory are, how its disks and NICs work. What a flavor sets '
    'is a promise: it is kept, or the guest is refused with the reason.'
)
# YAML's own numbers and booleans are taken as they are written.
_SCALAR: dict[str, Any] = {'type': ['string', 'number', 'boolean']}
#: The words that are booleans, in any case.
_BOOLEAN = '^(1|0|[tT]|[fF]|[yY]|[nN]|{})$'.format(
    '|'.join(
        ''.join(f'[{letter}{letter.upper()}]' for letter in word)
        for word in ('true', 'false', 'on', 'off', 'yes', 'no')
    )
)
_TEXT: dict[str, Any] = {'type': 'string', 'maxLength': documents.MAX_NAME}


def flavor(knobs: Iterable[Knob]) -> dict[str, Any]:
    """Return the JSON schema of a flavor file."""
    knobs = list(knobs)
    owned = [
        _pattern(knob)[len(PREFIX) + 1 : -1]
        for knob in knobs
        if _is_ours(knob)
    ]
    specs = {
        'type': ['object', 'string'],
        'maxProperties': documents.MAX_PROPERTIES,
        'description': "Extra specs: our knobs, and any of Nova's.",
        'properties': {
            knob.name: _described(knob)
            for knob in knobs
            if knob.parameter is None
        },
        'patternProperties': {
            # A key of ours that does not exist is an error.
            rf'^{PREFIX}(?!({"|".join(owned)})$)': False,
            **{
                _pattern(knob): _described(knob)
                for knob in knobs
                if knob.parameter is not None
            },
        },
        'additionalProperties': _SCALAR,
    }
    return _document(
        'A flavor, as "openstack flavor show -f yaml" prints it',
        ['name', 'vcpus', 'ram'],
        {
            'name': _TEXT,
            'id': {**_TEXT, 'type': ['string', 'integer', 'null']},
            'vcpus': _number(1, MAX_CPU + 1),
            'ram': {
                **_number(1, documents.MAX_SIZE),
                'description': 'Memory in MiB.',
            },
            'disk': {
                **_number(0, documents.MAX_SIZE),
                'description': 'The root disk in GiB.',
            },
            'properties': {'$ref': '#/$defs/specs'},
            'extra_specs': {'$ref': '#/$defs/specs'},
        },
    ) | {'$defs': {'specs': specs}}


def image(knobs: Iterable[Knob]) -> dict[str, Any]:
    """Return the JSON schema of an image file."""
    return _document(
        'An image, as "openstack image show -f yaml" prints it',
        [],
        {
            'name': {**_TEXT, 'type': ['string', 'null']},
            'id': _TEXT,
            'min_ram': _number(0, documents.MAX_SIZE),
            'min_disk': _number(0, documents.MAX_SIZE),
            # What is a flavor's alone.
            'vcpus': False,
            'properties': {
                'type': ['object', 'string'],
                'maxProperties': documents.MAX_PROPERTIES,
                'description': "Properties: our knobs', and any others.",
                'properties': {
                    knob.image: _described(knob)
                    for knob in knobs
                    if knob.image is not None and knob.parameter is None
                },
            },
        },
    )


def metadefs(knobs: Iterable[Knob]) -> dict[str, Any]:
    """Return a namespace of Glance's metadata definitions, from which Horizon
    offers our knobs for flavors, with their values and their help.
    """
    return {
        'namespace': NAMESPACE,
        'display_name': 'kvm-tuning',
        'description': _ABOUT,
        'visibility': 'public',
        'protected': True,
        'resource_type_associations': [
            {'name': 'OS::Nova::Flavor', 'prefix': PREFIX}
        ],
        'properties': {
            knob.name.removeprefix(PREFIX): _offered(knob)
            for knob in sorted(knobs, key=lambda each: each.name)
            if _is_ours(knob) and knob.parameter is None
        },
    }


def _is_ours(knob: Knob) -> bool:
    return knob.name.startswith(PREFIX)


def _pattern(knob: Knob) -> str:
    """Return the pattern of a knob's key."""
    number = '' if knob.parameter is None else rf'\.({knob.parameter})'
    return f'^{re.escape(knob.name)}{number}$'


def _document(
    title: str, required: list[str], properties: dict[str, Any]
) -> dict[str, Any]:
    return {
        '$schema': DIALECT,
        'title': title,
        'type': 'object',
        'required': required,
        'properties': properties,
    }


def _number(least: int, most: int) -> dict[str, Any]:
    return {
        'type': ['integer', 'string'],
        'minimum': least,
        'maximum': most,
        'pattern': '^[0-9]{1,10}$',
    }


def _described(knob: Knob) -> dict[str, Any]:
    """Return the schema of a knob's value in a file."""
    made: dict[str, Any] = {
        'description': f'{_help(knob)} Value: {knob.kind.description}.',
        'anyOf': _values(knob),
    }
    if knob.default is not None:
        made['default'] = knob.default
    return made


def _values(knob: Knob) -> list[dict[str, Any]]:
    """Return schemas of a value as a text, and as YAML's own number or
    boolean.
    """
    value = knob.kind.nova_value()
    typed = knob.kind.schema()
    if value['type'] is bool:
        return [typed, {'type': 'string', 'pattern': _BOOLEAN}]
    text = {
        'type': 'string',
        **_exact(value),
    }
    if 'pattern' not in value:
        return [text, typed]
    whole = typed.get('oneOf', [typed])[0]
    number = whole if whole.get('type') == 'integer' else {'type': 'integer'}
    return [text, number]


def _offered(knob: Knob) -> dict[str, Any]:
    """Return a property of Glance's: extra specs are texts there."""
    made: dict[str, Any] = {
        'title': knob.name,
        'description': f'{_help(knob)} Value: {knob.kind.description}.',
        'type': 'string',
    }
    value = knob.kind.nova_value()
    typed = knob.kind.schema()
    if value['type'] is bool:
        made['enum'] = ['true', 'false']
    elif typed.get('type') == 'integer':
        made |= typed
    else:
        made |= {
            key: value[key] for key in ('enum', 'pattern') if key in value
        }
    if knob.default is not None:
        default = knob.default
        made['default'] = (
            int(default) if made['type'] == 'integer' else default
        )
    return made


def _exact(value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value[key] for key in ('enum', 'pattern') if key in value}


def _help(knob: Knob) -> str:
    return ' '.join(knob.help.split())
