"""Room `evaluation`: see the map in README."""
