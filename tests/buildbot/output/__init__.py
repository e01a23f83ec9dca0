"""Output and files on real parts."""
