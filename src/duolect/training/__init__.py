"""Room `training`: see the map in README."""
