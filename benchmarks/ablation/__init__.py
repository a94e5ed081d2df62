"""What each part of the method is worth."""
