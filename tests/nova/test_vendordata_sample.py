"""Nova takes what is shipped for its configuration."""

from pathlib import Path

from nova.conf import api, vendordata
from oslo_config import cfg
import testtools

SAMPLE = Path(__file__).parents[2] / 'etc/kvm_tuning/vendordata/nova.conf'


class VendordataSampleTest(testtools.TestCase):
    def test_every_value_is_valid(self):
        conf = cfg.ConfigOpts()
        for module in (api, vendordata):
            module.register_opts(conf)
        conf([], default_config_files=[str(SAMPLE)])
        for name in (
            'vendordata_providers',
            'vendordata_dynamic_targets',
            'vendordata_dynamic_connect_timeout',
            'vendordata_dynamic_read_timeout',
            'vendordata_dynamic_failure_fatal',
        ):
            self.assertIsNotNone(conf.api[name], name)
        self.assertEqual(
            ['cloud-init@http://127.0.0.1:8089/'],
            conf.api.vendordata_dynamic_targets,
        )
