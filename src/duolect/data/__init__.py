"""Room `data`: see the map in README."""
