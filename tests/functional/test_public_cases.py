"""The public cases of guests, with the libvirt and QEMU of this machine."""

import contextlib
import io

import testtools

from tests.cases import __main__ as cases
from tests.cases import answers


class GuestCasesTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        if answers.folder() is None:
            self.skipTest('KVM_TUNING_CASES has no cases of guests')

    def test_each_answer_is_right(self):
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            status = cases.main([])
        self.assertEqual(0, status, output.getvalue())
