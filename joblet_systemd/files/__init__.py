"""What jobs find on disk: their root, their /etc, their work directory and uploads."""
