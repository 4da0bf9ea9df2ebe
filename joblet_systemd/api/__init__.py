"""The gRPC interface: listener, authorisation, services."""
