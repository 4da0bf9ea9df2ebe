"""rnx, the client of Joblet: runs and watches jobs on a node over mutual TLS."""

__version__ = "0.4.3"
