"""What becomes of measurements: figures, results on disk, tables and plots."""
