"""Read profiles: named sets of knob values, shipped or the operator's.

A profile is a YAML file, named as the profile, with ``help`` (a sentence or
two) and ``knobs`` (values by knob name).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
import os
import re
from typing import Any

import yaml

from kvm_tuning.core.exceptions import ConfigInvalid
from kvm_tuning.core.knobs import Knob, by_name
from kvm_tuning.core.request import PROFILE

#: Most bytes of one file.
MAX_BYTES = 1 << 16

_SHIPPED = os.path.join(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'profiles'
)
_NAME = re.compile(r'[A-Za-z0-9][\w.-]{0,63}', re.ASCII)


@dataclass(frozen=True, slots=True)
class Profile:
    """A named set of knob values."""

    name: str
    help: str
    #: Knob texts by name.
    knobs: Mapping[str, str]
    #: The file that says it.
    path: str


def read(
    knobs: Mapping[str, Knob], directory: str | None = None
) -> dict[str, Profile]:
    """Return the shipped profiles and those in ``directory``, by name.

    One in ``directory`` replaces the shipped one of its name; a directory
    that is not there has none.

    :param knobs: all knobs by name.
    :raises ConfigInvalid: the first file that is not a profile, names no knob,
        or has a value outside of the knob's kind.
    """
    paths = _files(_SHIPPED)
    if directory is not None and os.path.isdir(directory):
        paths |= _files(directory)
    return {
        name: _read(name, path, knobs) for name, path in sorted(paths.items())
    }


def texts(profiles: Iterable[Profile]) -> dict[str, Mapping[str, str]]:
    """Return the knob texts by profile name, as a request takes them."""
    return {profile.name: profile.knobs for profile in profiles}


def _files(directory: str) -> dict[str, str]:
    try:
        names = os.listdir(directory)
    except OSError as exc:
        raise ConfigInvalid(f'{directory}: {exc.strerror}') from exc
    found: dict[str, str] = {}
    for name in sorted(names):
        stem, extension = os.path.splitext(name)
        if extension not in ('.yaml', '.yml') or stem.startswith('.'):
            continue
        path = os.path.join(directory, name)
        if not _NAME.fullmatch(stem):
            raise ConfigInvalid(
                f'{path}: {stem!r} is not a valid name of a profile'
            )
        if stem in found:
            raise ConfigInvalid(f'{path} and {found[stem]} are one profile')
        found[stem] = path
    return found


def _read(name: str, path: str, knobs: Mapping[str, Knob]) -> Profile:
    data = _parse(path)
    if not isinstance(data, dict) or not data.keys() <= {'help', 'knobs'}:
        raise ConfigInvalid(f'{path}: want the keys help and knobs alone')
    help_ = data.get('help', '')
    values = data.get('knobs')
    if not isinstance(help_, str):
        raise ConfigInvalid(f'{path}: want a text as help')
    if not isinstance(values, dict):
        raise ConfigInvalid(f'{path}: want values by knob name as knobs')
    return Profile(
        name=name,
        help=help_.strip(),
        knobs={
            str(key): preferred(path, str(key), value, knobs)
            for key, value in values.items()
        },
        path=path,
    )


def _parse(path: str) -> Any:
    try:
        with open(path, 'rb') as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as exc:
        raise ConfigInvalid(f'{path}: {exc.strerror}') from exc
    if len(raw) > MAX_BYTES:
        raise ConfigInvalid(f'{path} is longer than {MAX_BYTES} bytes')
    try:
        text = raw.decode()
        # An alias can make a small file a huge value.
        if any(isinstance(e, yaml.AliasEvent) for e in yaml.parse(text)):
            raise ConfigInvalid(f'{path}: no YAML aliases in a profile')
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as exc:
        what = ' '.join(str(exc).split())
        raise ConfigInvalid(f'{path} is not YAML: {what}') from exc


def preferred(
    path: str, key: str, value: Any, knobs: Mapping[str, Knob]
) -> str:
    """Return the knob text of a preferred value, checked.

    :param path: where it is written, for messages.
    :raises ConfigInvalid: there is no such knob, it is none to prefer, or
        the value is outside of its kind.
    """
    knob = by_name(knobs, key)
    if knob is None:
        raise ConfigInvalid(
            f'{path}: {key} is not a knob; see kvm-tuning knob list'
        )
    if not knob.preferable or key == PROFILE:
        raise ConfigInvalid(f'{path}: {key} cannot be set here')
    if isinstance(value, bool):
        text = 'true' if value else 'false'
    elif isinstance(value, str | int):
        text = str(value)
    else:
        raise ConfigInvalid(f'{path}: {key}: want a word or a number')
    try:
        knob.kind.parse(text)
    except ValueError as exc:
        raise ConfigInvalid(f'{path}: {key}={text[:64]}: want {exc}') from exc
    return text
