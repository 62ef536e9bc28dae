"""Room `systems`: see the map in README."""
