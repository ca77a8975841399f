"""Places on the sky: stencils, footprints, and the way from sky to pixels."""
