"""Safe reads and writes of /sys, /proc and /etc, below any root."""
