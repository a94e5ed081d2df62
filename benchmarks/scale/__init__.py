"""How cost grows with the atlas."""
