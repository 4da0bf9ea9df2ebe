"""What jobs and the host use: read, sampled, kept, and put into words for Prometheus."""
