"""What the driver does on a compute node."""
