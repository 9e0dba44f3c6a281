"""Inventory of a host: CPUs, NUMA cells, devices, interfaces."""
