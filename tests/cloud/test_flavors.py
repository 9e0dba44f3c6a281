"""What a flavor may say: Nova's API asks our validators."""

from tests.cloud.base import CloudTest


class FlavorTest(CloudTest):
    """Bad extra specs are refused where they are written."""

    def _refused(self, **specs):
        from openstack import exceptions

        error = self.assertRaises(
            exceptions.BadRequestException, self.flavor, **specs
        )
        self.assertEqual(400, error.status_code)
        return str(error.details)

    def test_unknown_key(self):
        """A key of ours that does not exist is a typing error."""
        told = self._refused(kvm__iothread='2')
        self.assertIn('kvm:iothread', told)

    def test_bad_values(self):
        """The answer names the value and what would be good."""
        for key, value, words in (
            ('kvm:cpu_locality', 'l2', 'l3'),
            ('kvm:iothreads', '0', '1'),
            ('kvm:iothreads', 'many', 'many'),
            ('kvm:disk_cache', 'fast', 'writeback'),
            ('kvm:vif_rx_ring', '300', '256'),
            ('kvm:page_sharing', 'maybe', 'maybe'),
            ('kvm:vfs', '-1', '-1'),
        ):
            with self.subTest(key=key, value=value):
                told = self._refused(**{key: value})
                self.assertIn(words, told)

    def test_good_values(self):
        """What is right is stored as it was written."""
        specs = {'kvm:cpu_locality': 'l3', 'kvm:iothreads': '2'}
        made = self.flavor(**specs)
        found = self.compute.find_flavor(made.id, get_extra_specs=True)
        self.assertEqual(specs, found.extra_specs)
