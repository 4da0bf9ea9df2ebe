"""The descriptors of joblet_wire against the facts that existing clients rely on."""

from __future__ import annotations

import re

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto

from joblet_wire import joblet_pb2

# service method request ["stream"] response
SERVICES = """
JobService RunJob RunJobRequest RunJobResponse
JobService GetJobStatus GetJobStatusRequest GetJobStatusResponse
JobService StopJob StopJobRequest StopJobResponse
JobService CancelJob CancelJobRequest CancelJobResponse
JobService DeleteJob DeleteJobRequest DeleteJobResponse
JobService DeleteAllJobs DeleteAllJobsRequest DeleteAllJobsResponse
JobService GetJobLogs GetJobLogsRequest stream DataChunk
JobService ListJobs EmptyRequest Jobs
JobService StreamJobMetrics StreamJobMetricsRequest stream JobMetricsEvent
JobService GetJobMetrics GetJobMetricsRequest stream JobMetricsEvent
JobService StreamJobTelematics StreamJobTelematicsRequest stream TelematicsEvent
JobService GetJobTelematics GetJobTelematicsRequest stream TelematicsEvent
JobService RunWorkflow RunWorkflowRequest RunWorkflowResponse
JobService GetWorkflowStatus GetWorkflowStatusRequest GetWorkflowStatusResponse
JobService ListWorkflows ListWorkflowsRequest ListWorkflowsResponse
JobService GetWorkflowJobs GetWorkflowJobsRequest GetWorkflowJobsResponse
NetworkService CreateNetwork CreateNetworkRequest CreateNetworkResponse
NetworkService ListNetworks EmptyRequest Networks
NetworkService RemoveNetwork RemoveNetworkRequest RemoveNetworkResponse
VolumeService CreateVolume CreateVolumeRequest CreateVolumeResponse
VolumeService ListVolumes EmptyRequest Volumes
VolumeService RemoveVolume RemoveVolumeRequest RemoveVolumeResponse
MonitoringService GetSystemStatus EmptyRequest SystemStatusResponse
MonitoringService StreamSystemMetrics StreamMetricsRequest stream SystemMetricsResponse
RuntimeService ListRuntimes EmptyRequest ListRuntimesResponse
RuntimeService GetRuntimeInfo GetRuntimeInfoRequest GetRuntimeInfoResponse
RuntimeService TestRuntime TestRuntimeRequest TestRuntimeResponse
RuntimeService RemoveRuntime RemoveRuntimeRequest RemoveRuntimeResponse
RuntimeService BuildRuntime BuildRuntimeRequest stream BuildRuntimeProgress
RuntimeService ValidateRuntimeYAML ValidateRuntimeYAMLRequest ValidateRuntimeYAMLResponse
RuntimeService InstallRuntimeFromGithub InstallRuntimeRequest InstallRuntimeResponse
RuntimeService InstallRuntimeFromLocal InstallRuntimeFromLocalRequest InstallRuntimeResponse
RuntimeService StreamingInstallRuntimeFromGithub InstallRuntimeRequest stream RuntimeInstallationChunk
RuntimeService StreamingInstallRuntimeFromLocal InstallRuntimeFromLocalRequest stream RuntimeInstallationChunk
RuntimeService ValidateRuntimeSpec ValidateRuntimeSpecRequest ValidateRuntimeSpecResponse
"""

# message: number name type ["in" oneof]; ...
MESSAGES = """
Jobs: 1 jobs repeated Job
Job: 1 uuid string; 2 name string; 3 command string; 4 args repeated string; 5 max_cpu int32; 6 cpu_cores
  string; 7 max_memory int32; 8 max_io_bps int32; 9 status string; 10 start_time string; 11 end_time string;
  12 exit_code int32; 13 scheduled_time string; 14 runtime string; 15 environment map<string,string>; 16
  secret_environment map<string,string>; 17 gpu_indices repeated int32; 18 gpu_count int32; 19 gpu_memory_mb
  int32; 20 node_id string
EmptyRequest:
FileUpload: 1 path string; 2 content bytes; 3 mode uint32; 4 is_directory bool
GetJobStatusRequest: 1 uuid string
GetJobStatusResponse: 1 uuid string; 2 name string; 3 command string; 4 args repeated string; 5 max_cpu int32;
  6 cpu_cores string; 7 max_memory int32; 8 max_io_bps int32; 9 status string; 10 start_time string; 11
  end_time string; 12 exit_code int32; 13 scheduled_time string; 14 environment map<string,string>; 15
  secret_environment map<string,string>; 16 network string; 17 volumes repeated string; 18 runtime string; 19
  work_dir string; 20 uploads repeated string; 21 dependencies repeated string; 22 workflowUuid string; 23
  gpu_indices repeated int32; 24 gpu_count int32; 25 gpu_memory_mb int32; 26 node_id string
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
BuildRuntimeRequest: 1 yaml_content string; 2 dry_run bool; 3 verbose bool; 4 force_rebuild bool
BuildRuntimeProgress: 1 phase BuildPhaseProgress in progress_type; 2 log BuildLogLine in progress_type; 3
  result BuildResult in progress_type
BuildPhaseProgress: 1 phase_number int32; 2 total_phases int32; 3 phase_name string; 4 message string
BuildLogLine: 1 level string; 2 message string; 3 timestamp int64
BuildResult: 1 success bool; 2 message string; 3 runtime_name string; 4 runtime_version string; 5 install_path
  string; 6 size_bytes int64; 7 build_duration_ms int64
ValidateRuntimeYAMLRequest: 1 yaml_content string
ValidateRuntimeYAMLResponse: 1 valid bool; 2 message string; 3 errors repeated string; 4 warnings repeated
  string; 5 spec_info RuntimeYAMLInfo
RuntimeYAMLInfo: 1 name string; 2 version string; 3 language string; 4 language_version string; 5 description
  string; 6 pip_packages repeated string; 7 npm_packages repeated string; 8 has_hooks bool; 9 requires_gpu
  bool
CreateNetworkRequest: 1 name string; 2 cidr string
CreateNetworkResponse: 1 name string; 2 cidr string; 3 bridge string
RemoveNetworkRequest: 1 name string
RemoveNetworkResponse: 1 success bool; 2 message string
Network: 1 name string; 2 cidr string; 3 bridge string; 4 job_count int32
Networks: 1 networks repeated Network
CreateVolumeRequest: 1 name string; 2 size string; 3 type string
CreateVolumeResponse: 1 name string; 2 size string; 3 type string; 4 path string
RemoveVolumeRequest: 1 name string
RemoveVolumeResponse: 1 success bool; 2 message string
Volume: 1 name string; 2 size string; 3 type string; 4 path string; 5 created_time string; 6 job_count int32
Volumes: 1 volumes repeated Volume
SystemStatusResponse: 1 timestamp string; 2 available bool; 3 host HostInfo; 4 cpu CPUMetrics; 5 memory
  MemoryMetrics; 6 disks repeated DiskMetrics; 7 networks repeated NetworkMetrics; 8 io IOMetrics; 9 processes
  ProcessMetrics; 10 cloud CloudInfo; 11 server_version ServerVersionInfo
SystemMetricsResponse: 1 timestamp string; 2 host HostInfo; 3 cpu CPUMetrics; 4 memory MemoryMetrics; 5 disks
  repeated DiskMetrics; 6 networks repeated NetworkMetrics; 7 io IOMetrics; 8 processes ProcessMetrics; 9
  cloud CloudInfo
StreamMetricsRequest: 1 interval_seconds int32; 2 metric_types repeated string
HostInfo: 1 hostname string; 2 os string; 6 kernel_version string; 8 architecture string; 11 boot_time string;
  12 uptime int64; 13 node_id string; 14 server_ips repeated string; 15 mac_addresses repeated string
CPUMetrics: 1 cores int32; 2 usage_percent double; 3 user_time double; 4 system_time double; 5 idle_time
  double; 6 io_wait_time double; 7 steal_time double; 8 load_average repeated double; 9 per_core_usage
  repeated double
MemoryMetrics: 1 total_bytes int64; 2 used_bytes int64; 3 free_bytes int64; 4 available_bytes int64; 5
  usage_percent double; 6 cached_bytes int64; 7 buffered_bytes int64; 8 swap_total int64; 9 swap_used int64;
  10 swap_free int64
DiskMetrics: 1 device string; 2 mount_point string; 3 filesystem string; 4 total_bytes int64; 5 used_bytes
  int64; 6 free_bytes int64; 7 usage_percent double; 8 inodes_total int64; 9 inodes_used int64; 10 inodes_free
  int64; 11 inodes_usage_percent double
NetworkMetrics: 1 interface string; 2 bytes_received int64; 3 bytes_sent int64; 4 packets_received int64; 5
  packets_sent int64; 6 errors_in int64; 7 errors_out int64; 8 drops_in int64; 9 drops_out int64; 10
  receive_rate double; 11 transmit_rate double; 12 ip_addresses repeated string; 13 mac_address string
IOMetrics: 1 total_reads int64; 2 total_writes int64; 3 read_bytes int64; 4 write_bytes int64; 5 read_rate
  double; 6 write_rate double; 7 disk_io repeated DiskIOMetrics
DiskIOMetrics: 1 device string; 2 reads_completed int64; 3 writes_completed int64; 4 read_bytes int64; 5
  write_bytes int64; 6 read_time int64; 7 write_time int64; 8 io_time int64; 9 utilization double
ProcessMetrics: 1 total_processes int32; 2 running_processes int32; 3 sleeping_processes int32; 4
  stopped_processes int32; 5 zombie_processes int32; 6 total_threads int32; 7 top_by_cpu repeated ProcessInfo;
  8 top_by_memory repeated ProcessInfo
ProcessInfo: 1 pid int32; 2 ppid int32; 3 name string; 4 command string; 5 cpu_percent double; 6
  memory_percent double; 7 memory_bytes int64; 8 status string; 9 start_time string
CloudInfo: 1 provider string; 2 region string; 3 zone string; 4 instance_id string; 5 instance_type string; 6
  hypervisor_type string; 7 metadata map<string,string>
ServerVersionInfo: 1 version string; 2 git_commit string; 3 git_tag string; 4 build_date string; 5 component
  string; 6 go_version string; 7 platform string; 8 proto_commit string; 9 proto_tag string
ListRuntimesResponse: 1 runtimes repeated RuntimeInfo
RuntimeInfo: 1 name string; 2 language string; 3 version string; 4 description string; 5 size_bytes int64; 6
  packages repeated string; 7 available bool; 8 requirements RuntimeRequirements; 9 language_version string;
  10 libraries repeated string; 11 environment map<string,string>; 12 build_info RuntimeBuildInfo; 13
  original_yaml string
RuntimeBuildInfo: 1 built_at string; 2 built_with string; 3 platform string
RuntimeRequirements: 1 architectures repeated string; 2 gpu bool
GetRuntimeInfoRequest: 1 runtime string
GetRuntimeInfoResponse: 1 runtime RuntimeInfo; 2 found bool
TestRuntimeRequest: 1 runtime string
TestRuntimeResponse: 2 success bool; 3 output string; 4 error string; 5 exit_code int32
RunJobRequest: 1 name string; 2 command string; 3 args repeated string; 4 max_cpu int32; 5 cpu_cores string; 6
  max_memory int32; 7 max_io_bps int32; 8 uploads repeated FileUpload; 9 schedule string; 10 network string;
  11 volumes repeated string; 12 runtime string; 13 work_dir string; 14 environment map<string,string>; 15
  workflowUuid string; 16 jobUuid string; 17 requirements repeated JobRequirement; 18 secret_environment
  map<string,string>; 19 gpu_count int32; 20 gpu_memory_mb int32
RunJobResponse: 1 job_uuid string; 2 status string; 3 command string; 4 args repeated string; 5 maxCpu int32;
  6 cpuCores string; 7 maxMemory int32; 8 maxIobps int32; 9 startTime string; 10 endTime string; 11 exitCode
  int32; 12 scheduledTime string
Timestamp: 1 seconds int64; 2 nanos int32
RemoveRuntimeRequest: 1 runtime string
RemoveRuntimeResponse: 1 success bool; 2 message string; 3 freed_space_bytes int64
StreamJobMetricsRequest: 1 job_uuid string
GetJobMetricsRequest: 1 job_uuid string; 2 start_time int64; 3 end_time int64; 4 limit int32
JobMetricsEvent: 1 timestamp int64; 2 job_uuid string; 3 cpu_percent double; 4 memory_bytes int64; 5
  memory_limit int64; 6 disk_read_bytes int64; 7 disk_write_bytes int64; 8 net_recv_bytes int64; 9
  net_sent_bytes int64; 10 gpu_percent double; 11 gpu_memory_bytes int64
StreamJobTelematicsRequest: 1 job_uuid string; 2 types repeated string
GetJobTelematicsRequest: 1 job_uuid string; 2 types repeated string; 3 start_time int64; 4 end_time int64; 5
  limit int32
TelematicsEvent: 1 timestamp int64; 2 job_uuid string; 3 type string; 10 exec TelematicsExecData in data; 11
  connect TelematicsConnectData in data; 12 accept TelematicsAcceptData in data; 13 file TelematicsFileData in
  data; 14 mmap TelematicsMmapData in data; 15 mprotect TelematicsMprotectData in data; 16 socket_data
  TelematicsSocketDataData in data
TelematicsExecData: 1 pid uint32; 2 ppid uint32; 3 binary string; 4 args repeated string; 5 exit_code int32
TelematicsConnectData: 1 pid uint32; 2 dst_addr string; 3 dst_port uint32; 4 protocol string; 5 src_addr
  string; 6 src_port uint32
TelematicsAcceptData: 1 pid uint32; 2 src_addr string; 3 src_port uint32; 4 dst_addr string; 5 dst_port
  uint32; 6 protocol string
TelematicsFileData: 1 pid uint32; 2 path string; 3 operation string; 4 bytes int64; 5 flags uint32
TelematicsMmapData: 1 pid uint32; 2 addr uint64; 3 length uint64; 4 prot uint32; 5 flags uint32; 6 file_path
  string
TelematicsMprotectData: 1 pid uint32; 2 addr uint64; 3 length uint64; 4 prot uint32
TelematicsSocketDataData: 1 pid uint32; 2 direction string; 3 dst_addr string; 4 dst_port uint32; 5 src_addr
  string; 6 src_port uint32; 7 protocol string; 8 bytes int64
RuntimeInstallationChunk: 1 progress RuntimeInstallationProgress in chunk_type; 2 log RuntimeInstallationLog
  in chunk_type; 3 result RuntimeInstallationResult in chunk_type
RuntimeInstallationProgress: 1 message string; 2 step int32; 3 total_steps int32
RuntimeInstallationLog: 1 data bytes
RuntimeInstallationResult: 1 success bool; 2 message string; 3 runtime_spec string; 4 install_path string
JobRequirement: 1 jobUuid string; 2 status string; 3 expression string
RunWorkflowRequest: 1 workflow string; 2 totalJobs int32; 3 jobOrder repeated string; 4 yamlContent string; 5
  workflowFiles repeated FileUpload
RunWorkflowResponse: 1 workflowUuid string; 2 status string
GetWorkflowStatusRequest: 1 workflowUuid string
GetWorkflowStatusResponse: 1 workflow WorkflowInfo; 2 jobs repeated WorkflowJob
ListWorkflowsRequest: 1 includeCompleted bool
ListWorkflowsResponse: 1 workflows repeated WorkflowInfo
GetWorkflowJobsRequest: 1 workflowUuid string
GetWorkflowJobsResponse: 1 jobs repeated WorkflowJob
WorkflowInfo: 1 uuid string; 2 status string; 3 totalJobs int32; 4 completedJobs int32; 5 failedJobs int32; 6
  canceledJobs int32; 7 createdAt Timestamp; 8 startedAt Timestamp; 9 completedAt Timestamp; 10 yamlContent
  string
WorkflowJob: 1 jobUuid string; 2 jobName string; 3 status string; 4 dependencies repeated string; 5 startTime
  Timestamp; 6 endTime Timestamp; 7 exitCode int32
InstallRuntimeRequest: 1 runtimeSpec string; 2 repository string; 3 branch string; 4 path string; 5
  forceReinstall bool; 6 registry_url string
InstallRuntimeResponse: 1 buildJobUuid string; 2 runtimeSpec string; 3 status string; 4 message string; 5
  repository string; 6 resolvedPath string
InstallRuntimeFromLocalRequest: 1 runtimeSpec string; 2 files repeated RuntimeFile; 3 forceReinstall bool
RuntimeFile: 1 path string; 2 content bytes; 3 executable bool
ValidateRuntimeSpecRequest: 1 runtimeSpec string
ValidateRuntimeSpecResponse: 1 valid bool; 2 message string; 3 normalizedSpec string; 4 specInfo
  RuntimeSpecInfo
RuntimeSpecInfo: 1 language string; 2 version string; 3 variants repeated string; 4 architecture string
"""

# What this project added, in the same form.
ADDED_METHODS = {
    "JobService SubmitJob",
    "JobService UpdateJob",
    "JobService DownloadFiles",
    "JobService WriteJobInput",
    "JobService ExecJob",
    "JobService TopJobs",
}
ADDED_MESSAGES = {
    *("SubmitJobRequest", "UpdateJobRequest", "UpdateJobResponse"),
    *("DownloadFilesRequest", "DownloadFilesResponse", "DownloadTotal"),
    "DroppedOutput",
    *("WriteJobInputRequest", "WriteJobInputResponse"),
    *("ExecJobRequest", "ExecStart", "TerminalSize", "ExecJobResponse", "ExecResult"),
    *("JobSample", "TopJobsRequest", "TopJobsResponse", "RunningJob"),
}
ADDITIONS = """
EmptyRequest: 100 limit int32; 101 states repeated string
RunJobRequest: 100 max_runtime_ms int64; 101 priority int32; 102 retries int32; 103 retry_delay_ms int64; 104 max_disk
  int32; 105 interactive bool; 106 time_zone string
RunJobResponse: 100 notices repeated string
GetJobStatusResponse: 100 reason string; 101 owner string; 102 unit string; 103 cpu_usec optional int64;
  104 memory_peak_bytes optional int64; 105 io_read_bytes optional int64; 106 io_write_bytes optional int64;
  107 max_runtime_ms int64; 108 priority int32; 109 retries int32; 110 attempt int32; 111 max_disk int32;
  112 interactive bool; 113 queue_position int32; 114 schedule string; 115 next_runs repeated string;
  116 parent string; 117 files_kept_until string; 120 tasks_peak optional int64;
  121 net_received_bytes optional int64; 122 net_sent_bytes optional int64
Job: 100 reason string; 101 owner string; 102 priority int32; 103 queue_position int32; 104 parent string
GetJobLogsRequest: 100 no_follow bool; 101 cursor string; 102 tail optional int64; 103 since string; 104 until string;
  105 stream int32; 106 by_entry bool
DataChunk: 100 stream int32; 101 cursor string; 102 time_usec int64; 103 dropped DroppedOutput
JobMetricsEvent: 100 sample JobSample; 101 final bool
"""

FILE = FileDescriptorProto()
joblet_pb2.DESCRIPTOR.CopyToProto(FILE)
DECLARED = {message.name: message for message in FILE.message_type}


def parsed(table: str) -> dict[str, list[str]]:
    rows = re.sub(r"\n +", " ", table.strip()).splitlines()
    pairs = (row.split(":", 1) for row in rows)
    return {name: [field.strip() for field in fields.split(";") if field.strip()] for name, fields in pairs}


FACTS = parsed(MESSAGES)
ADDED = parsed(ADDITIONS)


def type_name(field: FieldDescriptorProto, message: DescriptorProto) -> str:
    """A field's type as the tables write it."""
    if not field.type_name:
        return FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    entry = next((nested for nested in message.nested_type if field.type_name.endswith("." + nested.name)), None)
    if entry is not None:
        assert entry.options.map_entry
        return f"map<{','.join(type_name(part, entry) for part in entry.field)}>"
    assert field.type_name.startswith(".joblet.")
    return field.type_name.removeprefix(".joblet.")


def described(field: FieldDescriptorProto, message: DescriptorProto) -> str:
    name = type_name(field, message)
    repeated = field.label == FieldDescriptorProto.LABEL_REPEATED and not name.startswith("map<")
    label = "repeated " if repeated else "optional " if field.proto3_optional else ""
    group = ""
    if field.HasField("oneof_index") and not field.proto3_optional:
        group = f" in {message.oneof_decl[field.oneof_index].name}"
    return f"{field.number} {field.name} {label}{name}{group}"


def test_package_and_syntax() -> None:
    assert (FILE.package, FILE.syntax, list(FILE.dependency)) == ("joblet", "proto3", [])


def test_services() -> None:
    declared = {
        f"{service.name} {method.name} {method.input_type} {'stream ' * method.server_streaming}{method.output_type}"
        for service in FILE.service
        for method in service.method
        if f"{service.name} {method.name}" not in ADDED_METHODS
    }
    assert {row.replace(".joblet.", "") for row in declared} == set(SERVICES.strip().splitlines())


def test_no_message_more_or_less() -> None:
    assert set(DECLARED) == set(FACTS) | ADDED_MESSAGES


@pytest.mark.parametrize("name", FACTS)
def test_message(name: str) -> None:
    message = DECLARED[name]
    assert {described(field, message) for field in message.field} == {*FACTS[name], *ADDED.get(name, [])}


@pytest.mark.parametrize("name", ADDED)
def test_additions_are_numbered_from_100(name: str) -> None:
    assert all(int(field.split()[0]) >= 100 for field in ADDED[name])


def test_what_an_older_peer_does_not_know_is_kept_apart_from_zero() -> None:
    """0 microseconds of CPU time and 'this node keeps no account' are different answers."""
    told = joblet_pb2.GetJobStatusResponse.FromString(joblet_pb2.GetJobStatusResponse(cpu_usec=0).SerializeToString())
    assert told.HasField("cpu_usec")
    assert not told.HasField("memory_peak_bytes")
