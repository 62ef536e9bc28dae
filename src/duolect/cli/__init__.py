"""Room `cli`: see the map in README."""
