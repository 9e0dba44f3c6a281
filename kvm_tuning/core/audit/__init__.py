"""Compare what a guest was promised with what it has."""
