"""Catalog and client of the Human Protein Atlas (HPA), mirrors of it, and user manifests."""
