"""Data sets: one file each that says where images and masks are, and the shared steps to prepared arrays."""
