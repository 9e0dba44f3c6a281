"""Read and write /sys, /proc and /etc, safely and below any root."""
