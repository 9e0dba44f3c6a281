"""What the filter and the weigher share."""
