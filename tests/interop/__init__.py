"""What other software reads of a census; `make interop` installs it and runs these tests."""
