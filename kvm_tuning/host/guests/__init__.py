"""Running guests as observed, and settings without a libvirt element."""
