"""What works on a host, found by trying it."""
