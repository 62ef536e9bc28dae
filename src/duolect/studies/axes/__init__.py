"""The studies: one file each, a function from a scale to a `Study`; and all of them by name."""
