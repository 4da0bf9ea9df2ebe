"""The HTTP interface: JSON, server-sent events and the page, on a socket of its own."""
