"""The XML of a domain as libvirt writes it: paths, white space, units."""
