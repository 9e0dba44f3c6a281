"""What a running guest loses by how it is set up and where it sits.

No flavor and no receipt is needed: a guest is compared with what its host
could give it. Rules are pure; :mod:`kvm_tuning.core.assess.assess` runs them.
"""
