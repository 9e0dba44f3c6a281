"""The parts of a guest's definition, parsed, and what bounds it."""
