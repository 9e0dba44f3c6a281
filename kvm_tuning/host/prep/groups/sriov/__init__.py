"""SR-IOV: how many VFs each PF has."""
