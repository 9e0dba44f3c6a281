"""Pack what the inventory and host-prep read of a host, without secrets."""
