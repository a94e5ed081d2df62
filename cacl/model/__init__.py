"""CaCL: a vector-quantised auto-encoder with a shared and a discriminative codebook."""
