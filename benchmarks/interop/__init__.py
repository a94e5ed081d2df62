"""What other software reads of a census."""
