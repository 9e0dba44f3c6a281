"""What each group of options asks of a host."""
