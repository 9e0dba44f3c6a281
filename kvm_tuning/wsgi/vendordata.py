"""The service of dynamic vendordata, for any WSGI server:
``kvm_tuning.wsgi.vendordata:application``.

Its configuration is ``/etc/kvm-tuning/vendordata.conf``, or what the
environment's KVM_TUNING_VENDORDATA_CONF names.
"""

import logging
import os

from kvm_tuning.conf import vendordata as options
from kvm_tuning.wsgi import service

logging.basicConfig(
    level=logging.INFO, format='%(levelname)s %(name)s: %(message)s'
)
application = service.make(
    options.load([os.environ.get(options.ENVIRONMENT, options.FILE)])
)
logging.getLogger(__name__).info('vendordata is served')
