"""Networks: auto-encoder, class-aware codebook, critic."""
