"""The lab: real systemd hosts, as containers or virtual machines, on a machine that may have no systemd itself."""
