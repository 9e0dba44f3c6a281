"""What a host has: CPUs, cells, devices, interfaces."""
