"""The seed of a node that is to set itself up at its next boot."""

from tests.lab.cloud_init import NODE, CloudInitTest


class SeedTest(CloudInitTest):
    def test_seed(self):
        self.furnish()
        self.seed(1, NODE)
