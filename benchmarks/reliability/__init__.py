"""Damage, faults, kills and long runs, and what is found of them."""
