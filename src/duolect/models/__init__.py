"""Room `models`: see the map in README."""
