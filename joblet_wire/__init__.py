"""The gRPC interface that the client and the daemon share: ``joblet.proto`` and the code generated from it.

Import ``joblet_wire.joblet_pb2`` (messages) and ``joblet_wire.joblet_pb2_grpc`` (stubs and servicers);
this package itself imports neither, so that naming it costs nothing. The generated code runs on
protobuf 4.21 / grpcio 1.51 and everything newer; ``joblet_wire/generate`` makes it.
"""
