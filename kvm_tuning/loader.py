"""Load the hooks: the only place that knows of entry points.

Strict, as plugins come from strangers: a hook that cannot be imported, is no
hook, or claims another one's name or knob stops the start, with its name.
(stevedore's own defaults log such things and go on.)
"""

from collections.abc import Iterable, Mapping
import functools
from importlib.metadata import EntryPoint
from typing import NoReturn

from stevedore import extension

from kvm_tuning.core.exceptions import HookLoadError
from kvm_tuning.core.knobs import Knob
from kvm_tuning.hooks.base import Hook

NAMESPACE = 'kvm_tuning.hooks'


@functools.cache
def load() -> tuple[Hook, ...]:
    """Return every installed hook, by name.

    :raises HookLoadError: one of them is broken.
    """
    found: extension.ExtensionManager[object] = extension.ExtensionManager(
        NAMESPACE,
        invoke_on_load=False,
        on_load_failure_callback=_refuse,
    )
    hooks: list[tuple[str, object]] = [
        (ext.name, ext.plugin) for ext in found.extensions
    ]
    return verify(hooks)


def verify(found: Iterable[tuple[str, object]]) -> tuple[Hook, ...]:
    """Return instances of the hook classes, checked against the rules.

    :param found: entry point names and what they name.
    :raises HookLoadError: the first one that breaks a rule.
    """
    hooks: dict[str, Hook] = {}
    owners: dict[str, str] = {}
    for name, plugin in sorted(found, key=lambda each: each[0]):
        if not (isinstance(plugin, type) and issubclass(plugin, Hook)):
            raise HookLoadError(
                f'entry point {name!r} of {NAMESPACE} names {plugin!r}, '
                f'which is not a subclass of {Hook.__module__}.Hook'
            )
        if getattr(plugin, 'name', None) != name:
            raise HookLoadError(
                f'entry point {name!r} of {NAMESPACE} names a hook that '
                f'calls itself {getattr(plugin, "name", None)!r}'
            )
        if name in hooks:
            raise HookLoadError(
                f'two hooks are called {name!r}: '
                f'{_where(type(hooks[name]))} and {_where(plugin)}'
            )
        for knob in plugin.knobs:
            if knob.name in owners:
                raise HookLoadError(
                    f'knob {knob.name} is owned by two hooks: '
                    f'{owners[knob.name]!r} and {name!r}'
                )
            owners[knob.name] = name
        try:
            hooks[name] = plugin()
        except Exception as exc:
            _refuse_hook(name, exc)
    return tuple(hooks.values())


def knobs(hooks: Iterable[Hook]) -> Mapping[str, Knob]:
    """Return all knobs of ``hooks`` by name."""
    return {knob.name: knob for hook in hooks for knob in hook.knobs}


def _where(hook: type) -> str:
    return f'{hook.__module__}.{hook.__qualname__}'


def _refuse(
    manager: 'extension.ExtensionManager[object]',
    entrypoint: EntryPoint,
    exc: BaseException,
) -> NoReturn:
    _refuse_hook(entrypoint.name, exc)


def _refuse_hook(name: str, exc: BaseException) -> NoReturn:
    raise HookLoadError(
        f'hook {name!r} cannot be loaded: {type(exc).__name__}: {exc}'
    ) from exc
