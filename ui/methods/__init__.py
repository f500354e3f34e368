"""The section that runs several methods side by side: arrangement, runs, chart."""
