"""What makes two workers' builds comparable, and the table of what is compared."""
