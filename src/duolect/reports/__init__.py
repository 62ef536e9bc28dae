"""Room `reports`: see the map in README."""
