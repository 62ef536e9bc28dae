"""Room `audio`: see the map in README."""
