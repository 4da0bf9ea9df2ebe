"""The benchmark: what Joblet costs beside what it is built on and beside its peers, on a host of the lab."""
