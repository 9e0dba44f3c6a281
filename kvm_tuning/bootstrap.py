"""Lets Nova load our driver: ``compute_driver = kvm_tuning.KvmTuningDriver``.

Nova imports its driver as ``nova.virt.<compute_driver>``, and ``nova.virt`` is
a regular package, to which nobody else can add a module. nova-compute loads
every os-vif plugin before its driver, though: ours installs an import finder
that answers for ``nova.virt.kvm_tuning`` and for nothing else. Nothing of
Nova is imported before Nova asks for that module.
"""

from collections.abc import Sequence
import importlib
import importlib.abc
import importlib.machinery
import logging
import sys
from types import ModuleType
from typing import Any

from os_vif import objects
from os_vif import plugin as os_vif_plugin

LOG = logging.getLogger(__name__)

#: What Nova imports, what it looks for there, and where that is.
MODULE = 'nova.virt.kvm_tuning'
DRIVER = 'KvmTuningDriver'
SOURCE = 'kvm_tuning.adapters.nova.driver'


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Answers for one module; its driver is imported when it is looked up."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        """Return the spec of our module; None for every other."""
        if fullname != MODULE:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, origin=SOURCE)

    def exec_module(self, module: ModuleType) -> None:
        """Fill the module."""

        def look_up(name: str) -> Any:
            if name != DRIVER:
                raise AttributeError(f'{MODULE} has no {name!r}: {DRIVER}')
            return getattr(importlib.import_module(SOURCE), name)

        module.__doc__ = 'The compute driver of kvm-tuning.'
        module.__dict__['__getattr__'] = look_up


def install() -> None:
    """Let ``nova.virt.kvm_tuning`` be imported. Once is enough."""
    if not any(isinstance(finder, Finder) for finder in sys.meta_path):
        sys.meta_path.append(Finder())


class Plugin(os_vif_plugin.PluginBase):
    """No plugin for VIFs: what os-vif loads in nova-compute, in time."""

    @classmethod
    def load(cls, plugin_name: str) -> 'Plugin':
        """Install the finder. Never raises: os-vif would take the process
        with it, in services that have nothing to do with us, too.
        """
        try:
            install()
        except Exception:
            LOG.exception('%s cannot be loaded by Nova', MODULE)
        return cls({})

    def describe(self) -> Any:
        """Say that no VIF is ours."""
        return objects.host_info.HostPluginInfo(
            plugin_name='kvm_tuning', vif_info=[]
        )

    def plug(self, vif: Any, instance_info: Any) -> None:
        """Plug nothing.

        :raises NotImplementedError: always; os-vif never asks for a VIF that
            :meth:`describe` does not name.
        """
        raise NotImplementedError('kvm_tuning plugs no VIFs')

    def unplug(self, vif: Any, instance_info: Any) -> None:
        """Unplug nothing.

        :raises NotImplementedError: always, as :meth:`plug`.
        """
        raise NotImplementedError('kvm_tuning plugs no VIFs')


def compute() -> None:
    """Run nova-compute with the finder in place: the console script
    ``kvm-tuning-nova-compute``, where os-vif plugins are not loaded.
    """
    install()
    sys.exit(importlib.import_module('nova.cmd.compute').main())
