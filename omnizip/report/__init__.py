"""What happened in a comparison: decisions and counts on the host, operations, JSON and CSV."""
