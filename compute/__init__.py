"""Number formats and devices: what keeps many replicas and half precision equal to one float32 device."""
