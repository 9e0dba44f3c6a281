"""A sample of what real programs judge in tests/judges."""

from tests.judges import test_grub, test_shell, test_systemd


class TestShell(test_shell.TestShell):
    COUNT = 25


class TestMkconfig(test_grub.TestMkconfig):
    COUNT = 12


class TestGrub(test_grub.TestGrub):
    COUNT = 12


class TestOrder(test_systemd.TestOrder):
    COUNT = 12


class TestEntries(test_systemd.TestEntries):
    COUNT = 25
