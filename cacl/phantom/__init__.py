"""A synthetic atlas with known masks: a host folder as the Human Protein Atlas lays it out."""

from cacl.phantom.host import write_phantom
from cacl.phantom.settings import SETTINGS, Setting

__all__ = ["SETTINGS", "Setting", "write_phantom"]
