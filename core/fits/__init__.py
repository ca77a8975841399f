"""FITS files: their layout, cutting them, writing the answer."""
