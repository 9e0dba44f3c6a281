"""The tests. Generated examples have no deadline: machines are shared."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    'kvm-tuning',
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile('kvm-tuning')
