"""Machine code on disk: in which folder, by what digest, and in which files."""
