"""The configuration as one document, as cloud-init's user-data carries it.

Its JSON schema comes from the declarations of the options, as the options of
``kvm-tuning.conf`` do: what is an option there is a key here, and nothing
else is. A document that the schema takes becomes a file of options.
"""

from collections.abc import Iterable, Iterator, Mapping
import difflib
import importlib
from typing import Any

from oslo_config import cfg, types

from kvm_tuning.core.exceptions import ConfigInvalid
from kvm_tuning.host import configuration, document_values

#: cloud-config's key of all that is ours.
KEY = 'kvm_tuning'

#: One line, as a file of options has it.
_LINE = r'^[^\n\r]*$'
_UNIT = r'^[A-Za-z0-9@:_.\\-]+\.service$'
_PATH = r'^/[^\n\r\0]*$'

#: What is not an option of the host.
_INSTALL: dict[str, Any] = {
    'type': 'object',
    'additionalProperties': False,
    'description': (
        'What is installed first. Without it the package has to be there.'
    ),
    'properties': {
        'requirement': {
            'type': 'string',
            'pattern': r'^[^-\s][^\n\r]*$',
            'examples': ['kvm-tuning==1.0', '/srv/kvm_tuning.whl'],
            'description': (
                'What pip installs, such as kvm-tuning==1.0 or the path of a '
                'wheel. It is installed again when this text changes.'
            ),
        },
        'venv': {
            'type': 'string',
            'pattern': _PATH,
            'examples': ['/opt/kvm-tuning'],
            'default': '/opt/kvm-tuning',
            'description': 'The virtual environment that it goes into.',
        },
        'packages': {
            'type': 'array',
            'items': {
                'type': 'string',
                'pattern': r'^[^-\s]\S*$',
                'examples': ['libvirt-daemon-system'],
            },
            'description': "Packages of the distribution, such as libvirt's.",
        },
    },
}


def schema() -> dict[str, Any]:
    """Return the JSON schema of a cloud-config with our key."""
    groups = {
        group: {
            'type': 'object',
            'additionalProperties': False,
            'properties': {each.dest: _option(each) for each in options},
        }
        for group, options in configuration.list_opts()
    }
    return {
        '$schema': 'https://json-schema.org/draft/2020-12/schema',
        'title': 'kvm-tuning in cloud-config',
        'type': 'object',
        'required': [KEY],
        'properties': {
            KEY: {
                'type': 'object',
                'additionalProperties': False,
                'properties': {
                    'install': _INSTALL,
                    'config': {
                        'type': 'object',
                        'additionalProperties': False,
                        'description': (
                            'The options of kvm-tuning.conf, by group.'
                        ),
                        'properties': groups,
                    },
                    'reboot': {
                        'type': 'boolean',
                        'default': False,
                        'description': (
                            'Whether the host may be rebooted, once, when '
                            'something comes into force by a reboot only.'
                        ),
                    },
                    'gate': {
                        'type': 'array',
                        'items': {
                            'type': 'string',
                            'pattern': _UNIT,
                            'examples': ['nova-compute.service'],
                        },
                        'default': ['nova-compute.service'],
                        'description': (
                            'Units that do not start before the host is ready.'
                        ),
                    },
                },
            }
        },
    }


def require() -> Any:
    """Return the library that checks a document.

    :raises ConfigInvalid: it is not installed.
    """
    try:
        return importlib.import_module('jsonschema')
    except ImportError as exc:
        raise ConfigInvalid(
            f'{KEY} cannot be checked, as jsonschema is missing: pip install '
            f"'kvm-tuning[cloud-init]', or the package python3-jsonschema; "
            f'nothing is changed'
        ) from exc


def unwrapped(document: Any) -> Any:
    """Return what is below our key, of a document that has it or not."""
    if isinstance(document, dict) and set(document) == {KEY}:
        return document[KEY]
    return document


def check(section: object) -> None:
    """See that what is below our key makes sense.

    :raises ConfigInvalid: each key that does not, with its value and what
        would.
    """
    wrong = sorted(document_values.foreign(section, KEY))
    if wrong:
        raise ConfigInvalid('; '.join(wrong))
    jsonschema = require()
    found = jsonschema.Draft202012Validator(schema()).iter_errors(
        {KEY: section}
    )
    told = sorted({line for error in found for line in _told(error)})
    if told:
        raise ConfigInvalid('; '.join(told))


def text(section: Mapping[str, Any]) -> str:
    """Return the options of a checked ``section`` as a configuration file."""
    lines = []
    for group, options in section.get('config', {}).items():
        lines.append(f'[{group}]')
        for name, value in options.items():
            lines += [
                f'{name} = {each}' for each in _texts(group, name, value)
            ]
    return ''.join(f'{line}\n' for line in lines)


def _option(option: cfg.Opt) -> dict[str, Any]:
    made = _value(option.type)
    if option.multi:
        made = {'type': 'array', 'items': made}
    if option.help:
        made['description'] = ' '.join(option.help.split())
    if option.default is not None:
        made['default'] = option.default
    return made


def _value(kind: Any) -> dict[str, Any]:
    if isinstance(kind, types.Boolean):
        return {'type': 'boolean'}
    if isinstance(kind, types.Integer | types.Float):
        whole = isinstance(kind, types.Integer)
        made: dict[str, Any] = {'type': 'integer' if whole else 'number'}
        if kind.min is not None:
            made['minimum'] = kind.min
        if kind.max is not None:
            made['maximum'] = kind.max
        return made
    if isinstance(kind, types.List):
        item = _value(kind.item_type)
        if 'enum' not in item:
            item['pattern'] = r'^[^,\n\r]*$'
        return {'type': 'array', 'items': item}
    if isinstance(kind, types.Dict):
        return {
            'type': ['object', 'string'],
            'pattern': _LINE,
            'additionalProperties': {
                'type': ['string', 'integer'],
                'pattern': r'^[^,\n\r]*$',
            },
        }
    choices = list(getattr(kind, 'choices', None) or ())
    if {'on', 'off'} <= set(choices):
        # YAML reads them as booleans where they have no quotes.
        choices += [True, False]
    if choices:
        return {'enum': choices}
    # A CPU list of one CPU is a number in YAML.
    return {'type': ['string', 'integer'], 'pattern': _LINE}


def _texts(group: str, name: str, value: Any) -> Iterator[str]:
    option = next(
        each
        for other, options in configuration.list_opts()
        if other == group
        for each in options
        if each.dest == name
    )
    if option.multi:
        yield from map(_text, value)
    elif isinstance(value, list):
        yield ','.join(map(_text, value))
    elif isinstance(value, bool) and not isinstance(
        option.type, types.Boolean
    ):
        yield 'on' if value else 'off'
    else:
        yield _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return ','.join(f'{key}:{_text(each)}' for key, each in value.items())
    # oslo.config takes a $ for a reference to another option.
    return str(value).replace('$', '$$')


def _told(error: Any) -> Iterator[str]:
    """Yield what an error of jsonschema says, in the words of our keys."""
    where = '.'.join(map(str, error.absolute_path)) or 'cloud-config'
    if error.validator == 'additionalProperties' and isinstance(
        error.schema.get('additionalProperties'), bool
    ):
        known = error.schema.get('properties', {})
        for key in error.instance:
            if key not in known:
                yield f'{where}.{key} is not a key{_like(str(key), known)}'
        return
    yield f'{where} = {_short(error.instance)}: want {want(error.schema)}'


def _like(key: str, known: Iterable[str]) -> str:
    known = sorted(known)
    close = difflib.get_close_matches(key, known, n=1)
    if close:
        return f'; did you mean {close[0]}?'
    return f'; there are {", ".join(known)}'


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 64 else f'{shown[:61]}...'


def want(schema: Mapping[str, Any]) -> str:
    """Return what a schema takes, for a person."""
    if 'enum' in schema:
        return ' or '.join(e for e in schema['enum'] if isinstance(e, str))
    kind = schema.get('type')
    words = {
        'boolean': 'true or false',
        'array': 'a list',
        'object': 'a mapping',
        'integer': 'a whole number',
        'number': 'a number',
        'string': 'a text',
    }
    names = kind if isinstance(kind, list) else [kind]
    said = ' or '.join(words.get(str(name), str(name)) for name in names)
    if 'minimum' in schema and 'maximum' in schema:
        return f'{said} from {schema["minimum"]} to {schema["maximum"]}'
    if 'minimum' in schema:
        return f'{said} of {schema["minimum"]} or more'
    if schema.get('pattern') == _LINE:
        return f'{said} of one line'
    if 'examples' in schema:
        return f'{said} such as {" or ".join(schema["examples"])}'
    return said
