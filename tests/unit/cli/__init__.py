"""Tests of the client."""

import os

# gRPC logs to stderr what these tests do to it; it reads this when it is imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
