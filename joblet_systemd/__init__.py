"""The Joblet daemon: runs every job as a transient systemd unit."""

__version__ = "0.4.3"
