"""The census in other software's formats: masks for QuPath, a table for scanpy."""
