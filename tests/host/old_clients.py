"""Clients of former releases: their messages made from their field numbers alone, nothing of ours in between."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

# What the newest release of version 2 sends and reads. message: number name type; ...
NEWEST = """
Jobs: 1 jobs repeated Job
Job: 1 uuid string; 3 command string; 4 args repeated string; 5 max_cpu int32; 6 cpu_cores string;
  7 max_memory int32; 8 max_io_bps int32; 9 status string; 10 start_time string; 11 end_time string;
  12 exit_code int32; 13 scheduled_time string; 14 runtime string; 15 environment map;
  16 secret_environment map; 17 gpu_indices repeated int32; 18 gpu_count int32; 19 gpu_memory_mb int32;
  20 node_id string
EmptyRequest:
FileUpload: 1 path string; 2 content bytes; 3 mode uint32; 4 is_directory bool
GetJobStatusRequest: 1 uuid string
GetJobStatusResponse: 1 uuid string; 3 command string; 4 args repeated string; 5 max_cpu int32; 6 cpu_cores string;
  7 max_memory int32; 8 max_io_bps int32; 9 status string; 10 start_time string; 11 end_time string;
  12 exit_code int32; 13 scheduled_time string; 14 environment map; 15 secret_environment map;
  16 network string; 17 volumes repeated string; 18 runtime string; 19 work_dir string;
  20 uploads repeated string; 23 gpu_indices repeated int32; 24 gpu_count int32; 25 gpu_memory_mb int32;
  26 node_id string
StopJobRequest: 1 uuid string
StopJobResponse: 1 uuid string; 2 status string; 3 end_time string; 4 exit_code int32
CancelJobRequest: 1 uuid string
CancelJobResponse: 1 uuid string; 2 status string
DeleteJobRequest: 1 uuid string
DeleteJobResponse: 1 uuid string; 2 success bool; 3 message string
DeleteAllJobsRequest:
DeleteAllJobsResponse: 1 success bool; 2 message string; 3 deleted_count int32; 4 skipped_count int32
GetJobLogsRequest: 1 uuid string
DataChunk: 1 payload bytes
RunJobRequest: 2 command string; 3 args repeated string; 4 max_cpu int32; 5 cpu_cores string; 6 max_memory int32;
  7 max_io_bps int32; 8 uploads repeated FileUpload; 9 schedule string; 10 network string;
  11 volumes repeated string; 12 runtime string; 13 work_dir string; 14 environment map;
  18 secret_environment map; 19 gpu_count int32; 20 gpu_memory_mb int32
RunJobResponse: 1 job_uuid string; 2 status string
StreamJobMetricsRequest: 1 job_uuid string
GetJobMetricsRequest: 1 job_uuid string; 2 start_time int64; 3 end_time int64; 4 limit int32
JobMetricsEvent: 1 timestamp int64; 2 job_uuid string; 3 cpu_percent double; 4 memory_bytes int64;
  5 memory_limit int64; 6 disk_read_bytes int64; 7 disk_write_bytes int64; 8 net_recv_bytes int64;
  9 net_sent_bytes int64; 10 gpu_percent double; 11 gpu_memory_bytes int64
StreamMetricsRequest: 1 interval_seconds int32; 2 metric_types repeated string
SystemStatusResponse: 1 timestamp string; 2 available bool; 3 host HostInfo; 4 cpu CPUMetrics; 5 memory MemoryMetrics;
  6 disks repeated DiskMetrics; 11 server_version ServerVersionInfo
SystemMetricsResponse: 1 timestamp string; 2 host HostInfo; 3 cpu CPUMetrics; 4 memory MemoryMetrics;
  5 disks repeated DiskMetrics
HostInfo: 1 hostname string; 2 os string; 6 kernel_version string; 8 architecture string; 11 boot_time string;
  12 uptime int64; 13 node_id string; 14 server_ips repeated string; 15 mac_addresses repeated string
CPUMetrics: 1 cores int32; 2 usage_percent double; 8 load_average repeated double; 9 per_core_usage repeated double
MemoryMetrics: 1 total_bytes int64; 2 used_bytes int64; 4 available_bytes int64
DiskMetrics: 1 device string; 2 mount_point string; 4 total_bytes int64
ServerVersionInfo: 1 version string; 5 component string; 7 platform string
"""

# What older ones know besides. Their names are in camel case.
LEGACY = """
Job: 2 name string
GetJobStatusResponse: 2 name string; 21 dependencies repeated string; 22 workflowUuid string
RunJobRequest: 1 name string; 15 workflowUuid string; 16 jobUuid string; 17 requirements repeated JobRequirement
JobRequirement: 1 jobUuid string; 2 status string; 3 expression string
RunJobResponse: 3 command string; 4 args repeated string; 5 maxCpu int32; 6 cpuCores string; 7 maxMemory int32;
  8 maxIobps int32; 9 startTime string; 10 endTime string; 11 exitCode int32; 12 scheduledTime string
"""

# method: request, response, which is a stream if there is a * in front
METHODS = {
    "RunJob": ("RunJobRequest", "RunJobResponse"),
    "GetJobStatus": ("GetJobStatusRequest", "GetJobStatusResponse"),
    "StopJob": ("StopJobRequest", "StopJobResponse"),
    "CancelJob": ("CancelJobRequest", "CancelJobResponse"),
    "DeleteJob": ("DeleteJobRequest", "DeleteJobResponse"),
    "DeleteAllJobs": ("DeleteAllJobsRequest", "DeleteAllJobsResponse"),
    "GetJobLogs": ("GetJobLogsRequest", "*DataChunk"),
    "ListJobs": ("EmptyRequest", "Jobs"),
    "StreamJobMetrics": ("StreamJobMetricsRequest", "*JobMetricsEvent"),
    "GetJobMetrics": ("GetJobMetricsRequest", "*JobMetricsEvent"),
    "GetSystemStatus": ("EmptyRequest", "SystemStatusResponse"),
    "StreamSystemMetrics": ("StreamMetricsRequest", "*SystemMetricsResponse"),
}
MONITORING = ("GetSystemStatus", "StreamSystemMetrics")

Fields = descriptor_pb2.FieldDescriptorProto


class OldClient:
    """Makes calls on ``channel`` with the messages of a table; ``camel`` turns all its names into camel case.

    Names of fields are given, and answers read, as in the table.
    """

    def __init__(self, channel: grpc.Channel, tables: list[str], *, camel: bool) -> None:
        self._channel = channel
        self._camel = camel
        self._pool = descriptor_pool.DescriptorPool()
        self._pool.Add(_file(tables, self._name))

    def _name(self, name: str) -> str:
        return re.sub(r"_([a-z])", lambda match: match[1].upper(), name) if self._camel else name

    def message(self, kind: str, **fields: Any) -> Message:
        """A message of that kind."""
        return self._class(kind)(**{self._name(name): value for name, value in fields.items()})

    def _class(self, kind: str) -> type[Message]:
        descriptor = self._pool.FindMessageTypeByName(f"joblet.{kind}")
        if hasattr(message_factory, "GetMessageClass"):  # since protobuf 4.22, and the only one since 5
            return message_factory.GetMessageClass(descriptor)
        found: type[Message] = message_factory.MessageFactory(self._pool).GetPrototype(descriptor)
        return found

    def call(self, method: str, **fields: Any) -> Any:
        """The answer, or an iterator of those of a stream. Raises grpc.RpcError."""
        request, response = METHODS[method]
        make = self._channel.unary_stream if response.startswith("*") else self._channel.unary_unary
        ask = make(
            f"/joblet.{'MonitoringService' if method in MONITORING else 'JobService'}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=self._class(response.lstrip("*")).FromString,
        )
        return ask(self.message(request, **fields), timeout=120)

    def read(self, message: Message, name: str) -> Any:
        """A field of an answer."""
        return getattr(message, self._name(name))


def _file(tables: list[str], rename: Any) -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="joblet.proto", package="joblet", syntax="proto3")
    messages: dict[str, descriptor_pb2.DescriptorProto] = {}
    for kind, entries in _entries(tables):
        if kind not in messages:
            messages[kind] = file.message_type.add(name=kind)
        for entry in entries:
            _add_field(messages[kind], entry.split(), rename)
    return file


def _entries(tables: list[str]) -> Iterator[tuple[str, list[str]]]:
    for table in tables:
        for line in re.sub(r"\n +", " ", table).strip().splitlines():
            kind, _, entries = line.partition(":")
            yield kind, [entry for entry in entries.split(";") if entry.strip()]


def _add_field(message: descriptor_pb2.DescriptorProto, words: list[str], rename: Any) -> None:
    number, name, *_, kind = words
    field = message.field.add(name=rename(name), number=int(number), label=Fields.LABEL_OPTIONAL)
    if "repeated" in words or kind == "map":
        field.label = Fields.LABEL_REPEATED
    if kind == "map":
        entry = message.nested_type.add(name="".join(part.title() for part in _words(field.name)) + "Entry")
        entry.options.map_entry = True
        for place, part in enumerate(("key", "value"), start=1):
            entry.field.add(name=part, number=place, label=Fields.LABEL_OPTIONAL, type=Fields.TYPE_STRING)
        field.type, field.type_name = Fields.TYPE_MESSAGE, f".joblet.{message.name}.{entry.name}"
    elif hasattr(Fields, f"TYPE_{kind.upper()}"):
        field.type = getattr(Fields, f"TYPE_{kind.upper()}")
    else:
        field.type, field.type_name = Fields.TYPE_MESSAGE, f".joblet.{kind}"


def _words(name: str) -> list[str]:
    return re.sub(r"([A-Z])", r"_\1", name).split("_")
