"""Slides of tissue microarrays: find the cores, number them, and list them as regions."""
