"""Glance's metadata definitions: Horizon offers our knobs from them."""

import json
from urllib.parse import quote

from kvm_tuning.cmd import knob_schemas
from tests.cloud.base import CloudTest


class MetadefsTest(CloudTest):
    """Our namespace is loaded into Glance and read back."""

    def test_namespace(self):
        """Glance takes it, and shows every knob for flavors."""
        made = json.loads(self.tool('knob', 'metadefs'))
        # So that it can be taken back.
        made['protected'] = False
        image = self.cloud.image
        where = f'/metadefs/namespaces/{quote(knob_schemas.NAMESPACE)}'
        answer = image.post('/metadefs/namespaces', json=made)
        self.assertEqual(201, answer.status_code, answer.text)
        self.addCleanup(image.delete, where)
        found = image.get(where).json()
        self.assertEqual(made['properties'], found['properties'])
        (association,) = found['resource_type_associations']
        self.assertEqual('OS::Nova::Flavor', association['name'])
        self.assertEqual('kvm:', association['prefix'])
