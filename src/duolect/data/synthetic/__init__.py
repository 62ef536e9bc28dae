"""A corpus made on the spot."""
