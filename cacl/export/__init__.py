"""Exports of the census to other software: GeoJSON for QuPath, AnnData for scanpy."""
