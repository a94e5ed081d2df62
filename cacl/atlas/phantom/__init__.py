"""A synthetic atlas with known masks: a host folder as the Human Protein Atlas lays it out."""

from cacl.atlas.phantom.host import write_phantom
from cacl.atlas.phantom.settings import SETTINGS, Setting

__all__ = ["SETTINGS", "Setting", "write_phantom"]
