"""Groups of host settings: options, reading, planning, rivals."""
