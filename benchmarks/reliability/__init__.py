"""Damage, faults and what is found of them."""
