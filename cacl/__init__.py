"""CaCL Atlas: quantify a diffuse stain across the Human Protein Atlas from image-wise labels."""

__version__ = "0.1.0"
