"""This host prepared by host-prep, for the time of a test."""

from pathlib import Path

_CONFIGURATION = Path('/etc/kvm-tuning/conf.d/cloud-test.conf')
_POOL = Path(
    '/sys/devices/system/node/node0/hugepages/hugepages-2048kB/free_hugepages'
)


class HostPrep:
    """What a test of the cloud asks of this host, and takes back after it."""

    def __init__(self, test):
        self._test = test

    def prepare(self, text):
        """Have host-prep make what ``text`` asks; skip where it cannot."""
        _CONFIGURATION.parent.mkdir(parents=True, exist_ok=True)
        _CONFIGURATION.write_text(text)
        self._test.addCleanup(self._undo)
        self._test.tool('host', 'apply')

    def _undo(self):
        self._test.tool('host', 'undo')
        _CONFIGURATION.unlink()
        # It would offer what is not there any more
        self._test.harness('restart', 'nova-compute')

    @staticmethod
    def free_pages():
        """Return how many pages of 2 MiB of the first cell are free."""
        return int(_POOL.read_text())
