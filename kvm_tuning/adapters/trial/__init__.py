"""A throw-away libvirt that judges domains, so that the host's own one never
sees a document that it would refuse.
"""
