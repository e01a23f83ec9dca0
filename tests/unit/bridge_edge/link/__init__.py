"""The bridge's link, in parts, without a broker."""
