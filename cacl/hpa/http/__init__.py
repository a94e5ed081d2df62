"""The HTTP client of the Human Protein Atlas."""
