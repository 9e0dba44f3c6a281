"""Nova's NUMA fit, answered by our solver."""
