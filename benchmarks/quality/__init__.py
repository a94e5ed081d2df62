"""How good masks, measures and intervals are."""
