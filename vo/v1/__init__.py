"""Version 1 of the image API: one URL per repository, whose parameters say which image and what of it."""
