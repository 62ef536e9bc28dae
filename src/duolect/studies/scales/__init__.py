"""The sizes that studies come in."""
