"""What a run needs and where it stands: status, doctor, estimate."""
