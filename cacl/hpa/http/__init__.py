"""The HTTP client for the Human Protein Atlas (HPA)."""
