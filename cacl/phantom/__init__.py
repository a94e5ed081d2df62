"""Phantom: synthetic cores with known masks, in a folder with the layout of the HPA host."""

from cacl.phantom.host import write_phantom
from cacl.phantom.settings import SETTINGS, Setting

__all__ = ["SETTINGS", "Setting", "write_phantom"]
