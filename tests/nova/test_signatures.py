"""A Nova that does not fit is refused, with what is missing."""

from unittest import SkipTest

import testtools

try:
    import nova.conf  # noqa: F401
except ImportError as exc:
    if exc.name != 'nova':
        raise
    raise SkipTest('needs Nova') from exc

from nova.virt.libvirt import driver as stock

from kvm_tuning.adapters.nova import driver, signatures
from kvm_tuning.core.exceptions import Unsupported


class SignaturesTest(testtools.TestCase):
    def test_this_nova_fits(self):
        signatures.check()
        signatures.check(signatures.SCHEDULER)
        self.assertTrue(signatures.tested())

    def test_every_function_that_is_overridden_is_checked(self):
        prefix = 'nova.virt.libvirt.driver:LibvirtDriver.'
        for name, value in vars(driver.KvmTuningDriver).items():
            if callable(value) and hasattr(stock.LibvirtDriver, name):
                self.assertIn(prefix + name, signatures.RELIED)

    def test_what_is_missing_is_named(self):
        error = self.assertRaises(
            Unsupported,
            signatures.check,
            {
                'nova.virt.hardware:no_such_function': ('a',),
                'nova.virt.hardware:parse_cpu_spec': ('text',),
                'nova.no_such_module:f': (),
            },
        )
        for text in (
            'no_such_function is missing',
            'parse_cpu_spec takes (spec) and not (text, ...)',
            'nova.no_such_module:f is missing',
            '31 to 34',
        ):
            self.assertIn(text, str(error))
