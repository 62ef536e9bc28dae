"""Room `search`: see the map in README."""
