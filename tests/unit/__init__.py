import warnings

# What our own code causes, a deprecation for example, fails the test.
warnings.filterwarnings('error', module=r'(kvm_tuning|tests|tools)(\.|$)')
