"""Several engines behind one page: each in a process of its own, on this machine or another, found and kept by Ray Serve."""
