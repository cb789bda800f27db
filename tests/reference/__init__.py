"""Slow, obvious numpy twins of the kernels: they read like the formula."""
