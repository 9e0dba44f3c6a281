"""Who else writes a file of /sys or /proc, at boot or at a device's event."""
