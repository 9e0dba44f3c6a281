"""The tests. Generated examples have no deadline: machines are shared.

They are the same each time, so that a run fails for a change alone;
``KVM_TUNING_NEW_EXAMPLES=1`` draws others.
"""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    'kvm-tuning',
    deadline=None,
    derandomize='KVM_TUNING_NEW_EXAMPLES' not in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile('kvm-tuning')
