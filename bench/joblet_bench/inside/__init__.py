"""What runs on the measured host, with that host's Python and the installed packages."""
