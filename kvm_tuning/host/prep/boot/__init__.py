"""What the next boot gets: the files that boot loaders read."""
