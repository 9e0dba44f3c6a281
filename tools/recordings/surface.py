"""Collect the names that users' programs and files depend on.

Keys, codes, statuses and options; no text of a message or a help.
"""

import importlib
import json
from pathlib import Path
import subprocess
import sys
from typing import Any

from kvm_tuning import conf, loader
from kvm_tuning.cmd import command
from kvm_tuning.core import exceptions
from tools.recordings import entry_points

ROOT = Path(conf.__file__).parents[2]
#: Modules by what they hold, the present one first.
KINDS = ('kvm_tuning.host.prep.kinds.table', 'kvm_tuning.host.catalogue')
CODES = (
    'kvm_tuning.core.audit.rules.remedies',
    'kvm_tuning.core.audit_rules.remedies',
)


def first(*names: str) -> Any:
    """Return the first of the modules that there is."""
    for name in names:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            continue
    raise SystemExit(f'none of {names} is there')


def sample() -> str:
    """Return the sample configuration, as ``tox -e genconfig`` makes it."""
    done = subprocess.run(
        [
            sys.executable, '-P', '-m', 'oslo_config.generator',
            '--namespace', 'kvm_tuning', '--wrap-width', '79',
        ],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


def errors() -> dict[str, dict[str, Any]]:
    """Return each error's family and exit status, by its code."""
    found: dict[str, dict[str, Any]] = {}

    def visit(kind: type[Exception]) -> None:
        error: Any = kind.__new__(kind)
        found[kind.__name__] = {
            'family': kind.__mro__[1].__name__,
            'status': command.status_of(error),
        }
        for child in kind.__subclasses__():
            if child.__module__ == exceptions.__name__:
                visit(child)

    visit(exceptions.KvmTuningError)
    return dict(sorted(found.items()))


def listed(namespace: str) -> list[tuple[str, list[Any]]]:
    """Return the options by group, as the sample's generator asks for them."""
    target = entry_points.read(ROOT)['oslo.config.opts'][namespace]
    module, _colon, function = target.partition(':')
    found = getattr(importlib.import_module(module), function)()
    return [(str(group), list(several)) for group, several in found]


def options() -> dict[str, dict[str, Any]]:
    """Return what an operator may write of each option, by group."""
    found: dict[str, dict[str, Any]] = {}
    for group, several in (
        *listed('kvm_tuning'),
        *listed('kvm_tuning.vendordata'),
    ):
        for option in several:
            found.setdefault(group, {})[option.name] = {
                'type': _type(option.type),
                'default': option.default,
                'many': option.multi,
                'required': bool(option.required),
                'deprecated': sorted(
                    f'{old.group or ""}.{old.name or ""}'
                    for old in option.deprecated_opts
                ),
            }
    return found


def _type(kind: Any) -> dict[str, Any]:
    """Return what is taken: the type's name, its choices and limits."""
    inner = getattr(kind, 'item_type', None) or getattr(
        kind, 'value_type', None
    )
    found = {
        'name': type(kind).__name__,
        'choices': sorted(getattr(kind, 'choices', None) or ()),
        'min': getattr(kind, 'min', None),
        'max': getattr(kind, 'max', None),
        'of': _type(inner) if inner is not None else None,
    }
    return {name: value for name, value in found.items() if value}


def knobs() -> dict[str, dict[str, Any]]:
    """Return what a flavor may say of each knob."""
    return {
        name: {
            'schema': json.loads(json.dumps(knob.kind.schema())),
            'default': knob.default,
            'image': knob.image,
            'preferable': knob.preferable,
            'parameter': knob.parameter,
        }
        for name, knob in sorted(loader.knobs(loader.load()).items())
    }


def collect() -> dict[str, Any]:
    """Return all of them."""
    return {
        'errors': errors(),
        'exit statuses': {
            'success': command.SUCCESS,
            'found': command.FOUND,
            'wrong usage': command.WRONG_USAGE,
            'incomplete': command.INCOMPLETE,
            'changed': command.CHANGED,
        },
        'finding codes': sorted(first(*CODES).BY_CODE),
        'journal kinds': sorted(map(str, first(*KINDS).KINDS)),
        'options': options(),
        'entry points': {
            group: sorted(names)
            for group, names in entry_points.read(ROOT).items()
        },
        'knobs': knobs(),
    }
