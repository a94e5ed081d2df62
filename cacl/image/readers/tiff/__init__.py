"""TIFF: choice of the full-resolution page, checks of its tags, bounded decoding at once."""

from __future__ import annotations

from cacl.image.readers.tiff.decode import check_tiled, decode, open_choice, upright
from cacl.image.readers.tiff.slide_tiles import check_slide_tiles

__all__ = ["MAGICS", "check_slide_tiles", "check_tiled", "decode", "open_choice", "upright"]

MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""First bytes: little and big endian, TIFF and BigTIFF."""
