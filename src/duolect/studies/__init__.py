"""Room `studies`: see the map in README."""
