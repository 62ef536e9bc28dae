"""Room `recipes`: see the map in README."""
