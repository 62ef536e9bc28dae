"""Room `text`: see the map in README."""
