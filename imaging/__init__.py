"""Images and masks as arrays: decoding, normalization, augmentation, mask files, measures of a mask."""
