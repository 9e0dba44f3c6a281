"""``[pci]``: which devices of this host guests may have, by alias."""

from collections.abc import Mapping
import json
import re

from oslo_config import cfg

from kvm_tuning.core.exceptions import ConfigInvalid

GROUP = 'pci'

OPTIONS = (
    cfg.MultiStrOpt(
        'alias',
        help="""
A kind of PCI device that a flavor may ask for by name
(``pci_passthrough:alias=NAME:COUNT``), as JSON in the form of Nova's option
of this name: ``{"name": "qat", "vendor_id": "8086", "product_id": "0443",
"device_type": "type-VF", "numa_policy": "required"}``. Give it several times
for several kinds. Name only what the host itself does not use: a guest takes
the device away from it.
""",
    ),
)

_ID = '[0-9a-fA-F]{4}'
#: What each key may be; the name is required.
_KEYS = {
    'name': '.{1,256}',
    'vendor_id': _ID,
    'product_id': _ID,
    'device_type': 'type-(?:PCI|PF|VF)',
    'numa_policy': 'required|preferred|legacy|socket',
    # Nova's, for lines that are copied from its configuration: there is one
    # capability type, and what can migrate is not changed by a word.
    'capability_type': 'pci',
    'live_migratable': 'yes|no|true|false',
}


def aliases(conf: cfg.ConfigOpts) -> Mapping[str, Mapping[str, str]]:
    """Return what each alias stands for, by its name.

    :raises ConfigInvalid: one is not JSON, has a key or a value that makes no
        sense, names no kind of device, or comes twice.
    """
    found: dict[str, Mapping[str, str]] = {}
    for text in conf[GROUP].alias or ():
        alias = _read(text)
        name = alias['name']
        if name in found:
            raise ConfigInvalid(f'[{GROUP}] alias: {name!r} is there twice')
        found[name] = alias
    return found


def _read(text: str) -> Mapping[str, str]:
    what = f'[{GROUP}] alias = {text[:128]}'
    try:
        alias = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise ConfigInvalid(f'{what}: not JSON: {exc}') from exc
    if not isinstance(alias, dict):
        raise ConfigInvalid(f'{what}: want one JSON object')
    for key, value in alias.items():
        if key not in _KEYS:
            raise ConfigInvalid(
                f'{what}: {key!r} is none of {", ".join(_KEYS)}'
            )
        if not isinstance(value, str) or not re.fullmatch(_KEYS[key], value):
            raise ConfigInvalid(f'{what}: {key}={value!r}: want {_KEYS[key]}')
    if 'name' not in alias:
        raise ConfigInvalid(f'{what}: it has no name')
    # One that matches every device of the host is a mistake.
    if not {'vendor_id', 'product_id'} <= alias.keys():
        raise ConfigInvalid(f'{what}: want vendor_id and product_id')
    return alias
