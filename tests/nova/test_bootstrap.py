"""How Nova comes to our driver."""

import importlib
import sys
from unittest import SkipTest

import fixtures
import testtools

try:
    import os_vif
    from os_vif import plugin as os_vif_plugin
    from oslo_utils import importutils
except ImportError as exc:
    if exc.name != 'os_vif':
        raise
    raise SkipTest('needs Nova') from exc

from kvm_tuning import bootstrap


class BootstrapTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.useFixture(
            fixtures.MonkeyPatch(
                'sys.meta_path',
                [
                    finder
                    for finder in sys.meta_path
                    if not isinstance(finder, bootstrap.Finder)
                ],
            )
        )
        self.addCleanup(sys.modules.pop, bootstrap.MODULE, None)
        sys.modules.pop(bootstrap.MODULE, None)

    def finders(self):
        return [f for f in sys.meta_path if isinstance(f, bootstrap.Finder)]

    def test_without_it_nova_has_no_such_driver(self):
        self.assertRaises(
            ImportError, importlib.import_module, bootstrap.MODULE
        )

    def test_novas_way_of_loading_drivers(self):
        bootstrap.install()
        bootstrap.install()
        self.assertEqual(1, len(self.finders()))
        found = importutils.import_class(
            'nova.virt.kvm_tuning.KvmTuningDriver'
        )
        self.assertEqual(bootstrap.SOURCE, found.__module__)

    def test_it_answers_for_nothing_else(self):
        bootstrap.install()
        self.assertRaises(
            ImportError, importlib.import_module, 'nova.virt.kvm_tuning.more'
        )
        module = importlib.import_module(bootstrap.MODULE)
        self.assertRaises(AttributeError, getattr, module, 'LibvirtDriver')
        (finder,) = self.finders()
        self.assertIsNone(finder.find_spec('nova.virt.kvm_tuning2'))

    def test_os_vif_loads_it(self):
        os_vif.initialize(reset=True)
        self.assertEqual(1, len(self.finders()))
        described = os_vif.host_info()
        (info,) = [
            each
            for each in described.plugin_info
            if each.plugin_name == 'kvm_tuning'
        ]
        self.assertEqual([], info.vif_info)

    def test_loading_never_raises(self):
        def fails():
            raise RuntimeError('oops')

        self.useFixture(
            fixtures.MonkeyPatch('kvm_tuning.bootstrap.install', fails)
        )
        plugin = bootstrap.Plugin.load('kvm_tuning')
        self.assertIsInstance(plugin, os_vif_plugin.PluginBase)
        self.assertRaises(NotImplementedError, plugin.plug, None, None)
        self.assertRaises(NotImplementedError, plugin.unplug, None, None)
