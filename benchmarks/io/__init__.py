"""Reading, fetching, storing."""
