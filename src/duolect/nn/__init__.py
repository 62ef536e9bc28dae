"""Room `nn`: see the map in README."""
