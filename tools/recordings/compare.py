"""Compare a release's names with this tree's: what is gone or is different.

Something new may come: another option, knob, key, code or command.
"""

from collections.abc import Iterator
import difflib
from pathlib import Path
import tempfile
from typing import Any

import yaml

from tools.recordings import commands, surface

#: Parts whose entries are names alone.
_LISTS = ('finding codes', 'journal kinds')
#: What narrows what a value may be.
_LIMITS = ('min', 'minimum', 'max', 'maximum', 'choices', 'enum')


def surfaces(before: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    """Yield what the present surface breaks, a line each."""
    for part in _LISTS:
        for name in sorted(set(before[part]) - set(now[part])):
            yield f'{part}: {name} is gone'
    for group, names in before['entry points'].items():
        for name in sorted(set(names) - set(now['entry points'][group])):
            yield f'entry point {group}: {name} is gone'
    for part in ('errors', 'exit statuses'):
        yield from _same(part, before[part], now[part])
    for group, options in before['options'].items():
        yield from _described(
            f'option [{group}]', options, now['options'].get(group, {})
        )
    yield from _described('knob', before['knobs'], now['knobs'])


def runs(
    before: list[dict[str, Any]], now: list[dict[str, Any]]
) -> Iterator[str]:
    """Yield what became different in the commands' statuses and keys."""
    for one, other in zip(before, now, strict=True):
        for key in ('command', 'status', 'code'):
            if one.get(key) != other.get(key):
                yield (
                    f'{one["command"]}: {key} {one.get(key)!r} is '
                    f'{other.get(key)!r}'
                )
        for path in commands.missing(one.get('keys'), other.get('keys')):
            yield f'{one["command"]}: the key {path} is gone'


def _same(
    part: str, before: dict[str, Any], now: dict[str, Any]
) -> Iterator[str]:
    for name, value in before.items():
        if now.get(name) != value:
            yield f'{part}: {name}: {value!r} is {now.get(name)!r}'


def _described(
    what: str, before: dict[str, Any], now: dict[str, Any]
) -> Iterator[str]:
    for name, value in before.items():
        if name not in now:
            yield f'{what} {name} is gone'
        else:
            yield from _narrower(f'{what} {name}', value, now[name])


def _narrower(what: str, before: Any, now: Any) -> Iterator[str]:
    """Yield where the present value takes less, or means something else."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key, value in before.items():
            yield from _narrower(f'{what} {key}', value, now.get(key))
        for key in _LIMITS:
            if key in now and key not in before:
                yield f'{what}: {key} {now[key]!r} is new'
    elif isinstance(before, list) and isinstance(now, list):
        for value in before:
            if value not in now:
                yield f'{what}: {value!r} is gone'
    elif what.endswith((' min', ' minimum')) and now is not None:
        if now > before:
            yield f'{what}: {before!r} is {now!r}'
    elif what.endswith((' max', ' maximum')) and now is not None:
        if now < before:
            yield f'{what}: {before!r} is {now!r}'
    elif before != now and not (
        now is None and what.rpartition(' ')[2] in _LIMITS
    ):
        yield f'{what}: {before!r} is {now!r}'


def exact(folder: Path) -> list[str]:
    """Return every difference from a recording, as a diff."""
    with tempfile.TemporaryDirectory() as scratch:
        ran = commands.collect(Path(scratch))
    found = {
        'surface.yaml': yaml.safe_dump(surface.collect()),
        'commands.yaml': yaml.safe_dump(ran),
        'kvm-tuning.conf.sample': surface.sample(),
    }
    lines: list[str] = []
    for name, text in found.items():
        before = (folder / name).read_text()
        if name.endswith('.yaml'):
            before = yaml.safe_dump(yaml.safe_load(before))
        lines += difflib.unified_diff(
            before.splitlines(keepends=True),
            text.splitlines(keepends=True),
            f'{name} recorded',
            f'{name} now',
            n=2,
        )
    return lines
