"""Toy systems with known answers, for our tests and for those of users."""
