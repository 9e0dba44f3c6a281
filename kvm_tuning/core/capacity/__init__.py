"""What still fits on a host: by placing guests until one is refused."""
