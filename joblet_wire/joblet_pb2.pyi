from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class BuildLogLine(_message.Message):
    __slots__ = ["level", "message", "timestamp"]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    level: str
    message: str
    timestamp: int
    def __init__(self, level: _Optional[str] = ..., message: _Optional[str] = ..., timestamp: _Optional[int] = ...) -> None: ...

class BuildPhaseProgress(_message.Message):
    __slots__ = ["message", "phase_name", "phase_number", "total_phases"]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    PHASE_NAME_FIELD_NUMBER: _ClassVar[int]
    PHASE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    TOTAL_PHASES_FIELD_NUMBER: _ClassVar[int]
    message: str
    phase_name: str
    phase_number: int
    total_phases: int
    def __init__(self, phase_number: _Optional[int] = ..., total_phases: _Optional[int] = ..., phase_name: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class BuildResult(_message.Message):
    __slots__ = ["build_duration_ms", "install_path", "message", "runtime_name", "runtime_version", "size_bytes", "success"]
    BUILD_DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    INSTALL_PATH_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_NAME_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_VERSION_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    build_duration_ms: int
    install_path: str
    message: str
    runtime_name: str
    runtime_version: str
    size_bytes: int
    success: bool
    def __init__(self, success: bool = ..., message: _Optional[str] = ..., runtime_name: _Optional[str] = ..., runtime_version: _Optional[str] = ..., install_path: _Optional[str] = ..., size_bytes: _Optional[int] = ..., build_duration_ms: _Optional[int] = ...) -> None: ...

class BuildRuntimeProgress(_message.Message):
    __slots__ = ["log", "phase", "result"]
    LOG_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    log: BuildLogLine
    phase: BuildPhaseProgress
    result: BuildResult
    def __init__(self, phase: _Optional[_Union[BuildPhaseProgress, _Mapping[str, object]]] = ..., log: _Optional[_Union[BuildLogLine, _Mapping[str, object]]] = ..., result: _Optional[_Union[BuildResult, _Mapping[str, object]]] = ...) -> None: ...

class BuildRuntimeRequest(_message.Message):
    __slots__ = ["dry_run", "force_rebuild", "verbose", "yaml_content"]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    FORCE_REBUILD_FIELD_NUMBER: _ClassVar[int]
    VERBOSE_FIELD_NUMBER: _ClassVar[int]
    YAML_CONTENT_FIELD_NUMBER: _ClassVar[int]
    dry_run: bool
    force_rebuild: bool
    verbose: bool
    yaml_content: str
    def __init__(self, yaml_content: _Optional[str] = ..., dry_run: bool = ..., verbose: bool = ..., force_rebuild: bool = ...) -> None: ...

class CPUMetrics(_message.Message):
    __slots__ = ["cores", "idle_time", "io_wait_time", "load_average", "per_core_usage", "steal_time", "system_time", "usage_percent", "user_time"]
    CORES_FIELD_NUMBER: _ClassVar[int]
    IDLE_TIME_FIELD_NUMBER: _ClassVar[int]
    IO_WAIT_TIME_FIELD_NUMBER: _ClassVar[int]
    LOAD_AVERAGE_FIELD_NUMBER: _ClassVar[int]
    PER_CORE_USAGE_FIELD_NUMBER: _ClassVar[int]
    STEAL_TIME_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_TIME_FIELD_NUMBER: _ClassVar[int]
    USAGE_PERCENT_FIELD_NUMBER: _ClassVar[int]
    USER_TIME_FIELD_NUMBER: _ClassVar[int]
    cores: int
    idle_time: float
    io_wait_time: float
    load_average: _containers.RepeatedScalarFieldContainer[float]
    per_core_usage: _containers.RepeatedScalarFieldContainer[float]
    steal_time: float
    system_time: float
    usage_percent: float
    user_time: float
    def __init__(self, cores: _Optional[int] = ..., usage_percent: _Optional[float] = ..., user_time: _Optional[float] = ..., system_time: _Optional[float] = ..., idle_time: _Optional[float] = ..., io_wait_time: _Optional[float] = ..., steal_time: _Optional[float] = ..., load_average: _Optional[_Iterable[float]] = ..., per_core_usage: _Optional[_Iterable[float]] = ...) -> None: ...

class CancelJobRequest(_message.Message):
    __slots__ = ["uuid"]
    UUID_FIELD_NUMBER: _ClassVar[int]
    uuid: str
    def __init__(self, uuid: _Optional[str] = ...) -> None: ...

class CancelJobResponse(_message.Message):
    __slots__ = ["status", "uuid"]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    UUID_FIELD_NUMBER: _ClassVar[int]
    status: str
    uuid: str
    def __init__(self, uuid: _Optional[str] = ..., status: _Optional[str] = ...) -> None: ...

class CloudInfo(_message.Message):
    __slots__ = ["hypervisor_type", "instance_id", "instance_type", "metadata", "provider", "region", "zone"]
    class MetadataEntry(_message.Message):
        __slots__ = ["key", "value"]
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    HYPERVISOR_TYPE_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_TYPE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    hypervisor_type: str
    instance_id: str
    instance_type: str
    metadata: _containers.ScalarMap[str, str]
    provider: str
    region: str
    zone: str
    def __init__(self, provider: _Optional[str] = ..., region: _Optional[str] = ..., zone: _Optional[str] = ..., instance_id: _Optional[str] = ..., instance_type: _Optional[str] = ..., hypervisor_type: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...

class CreateNetworkRequest(_message.Message):
    __slots__ = ["cidr", "name"]
    CIDR_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    cidr: str
    name: str
    def __init__(self, name: _Optional[str] = ..., cidr: _Optional[str] = ...) -> None: ...

class CreateNetworkResponse(_message.Message):
    __slots__ = ["bridge", "cidr", "name"]
    BRIDGE_FIELD_NUMBER: _ClassVar[int]
    CIDR_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    bridge: str
    cidr: str
    name: str
    def __init__(self, name: _Optional[str] = ..., cidr: _Optional[str] = ..., bridge: _Optional[str] = ...) -> None: ...

class CreateVolumeRequest(_message.Message):
    __slots__ = ["name", "size", "type"]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    name: str
    size: str
    type: str
    def __init__(self, name: _Optional[str] = ..., size: _Optional[str] = ..., type: _Optional[str] = ...) -> None: ...

class CreateVolumeResponse(_message.Message):
    __slots__ = ["name", "path", "size", "type"]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    name: str
    path: str
    size: str
    type: str
    def __init__(self, name: _Optional[str] = ..., size: _Optional[str] = ..., type: _Optional[str] = ..., path: _Optional[str] = ...) -> None: ...

class DataChunk(_message.Message):
    __slots__ = ["cursor", "dropped", "payload", "stream", "time_usec"]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    TIME_USEC_FIELD_NUMBER: _ClassVar[int]
    cursor: str
    dropped: DroppedOutput
    payload: bytes
    stream: int
    time_usec: int
    def __init__(self, payload: _Optional[bytes] = ..., stream: _Optional[int] = ..., cursor: _Optional[str] = ..., time_usec: _Optional[int] = ..., dropped: _Optional[_Union[DroppedOutput, _Mapping[str, object]]] = ...) -> None: ...

class DeleteAllJobsRequest(_message.Message):
    __slots__: list[str] = []
    def __init__(self) -> None: ...

class DeleteAllJobsResponse(_message.Message):
    __slots__ = ["deleted_count", "message", "skipped_count", "success"]
    DELETED_COUNT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_COUNT_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    deleted_count: int
    message: str
    skipped_count: int
    success: bool
    def __init__(self, success: bool = ..., message: _Optional[str] = ..., deleted_count: _Optional[int] = ..., skipped_count: _Optional[int] = ...) -> None: ...

class DeleteJobRequest(_message.Message):
    __slots__ = ["uuid"]
    UUID_FIELD_NUMBER: _ClassVar[int]
    uuid: str
    def __init__(self, uuid: _Optional[str] = ...) -> None: ...

class DeleteJobResponse(_message.Message):
    __slots__ = ["message", "success", "uuid"]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    UUID_FIELD_NUMBER: _ClassVar[int]
    message: str
    success: bool
    uuid: str
    def __init__(self, uuid: _Optional[str] = ..., success: bool = ..., message: _Optional[str] = ...) -> None: ...

class DiskIOMetrics(_message.Message):
    __slots__ = ["device", "io_time", "read_bytes", "read_time", "reads_completed", "utilization", "write_bytes", "write_time", "writes_completed"]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    IO_TIME_FIELD_NUMBER: _ClassVar[int]
    READS_COMPLETED_FIELD_NUMBER: _ClassVar[int]
    READ_BYTES_FIELD_NUMBER: _ClassVar[int]
    READ_TIME_FIELD_NUMBER: _ClassVar[int]
    UTILIZATION_FIELD_NUMBER: _ClassVar[int]
    WRITES_COMPLETED_FIELD_NUMBER: _ClassVar[int]
    WRITE_BYTES_FIELD_NUMBER: _ClassVar[int]
    WRITE_TIME_FIELD_NUMBER: _ClassVar[int]
    device: str
    io_time: int
    read_bytes: int
    read_time: int
    reads_completed: int
    utilization: float
    write_bytes: int
    write_time: int
    writes_completed: int
    def __init__(self, device: _Optional[str] = ..., reads_completed: _Optional[int] = ..., writes_completed: _Optional[int] = ..., read_bytes: _Optional[int] = ..., write_bytes: _Optional[int] = ..., read_time: _Optional[int] = ..., write_time: _Optional[int] = ..., io_time: _Optional[int] = ..., utilization: _Optional[float] = ...) -> None: ...

class DiskMetrics(_message.Message):
    __slots__ = ["device", "filesystem", "free_bytes", "inodes_free", "inodes_total", "inodes_usage_percent", "inodes_used", "mount_point", "total_bytes", "usage_percent", "used_bytes"]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    FILESYSTEM_FIELD_NUMBER: _ClassVar[int]
    FREE_BYTES_FIELD_NUMBER: _ClassVar[int]
    INODES_FREE_FIELD_NUMBER: _ClassVar[int]
    INODES_TOTAL_FIELD_NUMBER: _ClassVar[int]
    INODES_USAGE_PERCENT_FIELD_NUMBER: _ClassVar[int]
    INODES_USED_FIELD_NUMBER: _ClassVar[int]
    MOUNT_POINT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    USAGE_PERCENT_FIELD_NUMBER: _ClassVar[int]
    USED_BYTES_FIELD_NUMBER: _ClassVar[int]
    device: str
    filesystem: str
    free_bytes: int
    inodes_free: int
    inodes_total: int
    inodes_usage_percent: float
    inodes_used: int
    mount_point: str
    total_bytes: int
    usage_percent: float
    used_bytes: int
    def __init__(self, device: _Optional[str] = ..., mount_point: _Optional[str] = ..., filesystem: _Optional[str] = ..., total_bytes: _Optional[int] = ..., used_bytes: _Optional[int] = ..., free_bytes: _Optional[int] = ..., usage_percent: _Optional[float] = ..., inodes_total: _Optional[int] = ..., inodes_used: _Optional[int] = ..., inodes_free: _Optional[int] = ..., inodes_usage_percent: _Optional[float] = ...) -> None: ...

class DownloadFilesRequest(_message.Message):
    __slots__ = ["path", "uuid"]
    PATH_FIELD_NUMBER: _ClassVar[int]
    UUID_FIELD_NUMBER: _ClassVar[int]
    path: str
    uuid: str
    def __init__(self, uuid: _Optional[str] = ..., path: _Optional[str] = ...) -> None: ...

class DownloadFilesResponse(_message.Message):
    __slots__ = ["data", "entry", "notice", "total"]
    DATA_FIELD_NUMBER: _ClassVar[int]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    NOTICE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    entry: FileUpload
    notice: str
    total: DownloadTotal
    def __init__(self, total: _Optional[_Union[DownloadTotal, _Mapping[str, object]]] = ..., entry: _Optional[_Union[FileUpload, _Mapping[str, object]]] = ..., data: _Optional[bytes] = ..., notice: _Optional[str] = ...) -> None: ...

class DownloadTotal(_message.Message):
    __slots__ = ["bytes", "files"]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    bytes: int
    files: int
    def __init__(self, files: _Optional[int] = ..., bytes: _Optional[int] = ...) -> None: ...

class DroppedOutput(_message.Message):
    __slots__ = ["bytes", "entries", "lines", "reason"]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    bytes: int
    entries: int
    lines: int
    reason: str
    def __init__(self, reason: _Optional[str] = ..., entries: _Optional[int] = ..., bytes: _Optional[int] = ..., lines: _Optional[int] = ...) -> None: ...

class EmptyRequest(_message.Message):
    __slots__ = ["limit", "states"]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    limit: int
    states: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, limit: _Optional[int] = ..., states: _Optional[_Iterable[str]] = ...) -> None: ...

class ExecJobRequest(_message.Message):
    __slots__ = ["end_of_stdin", "resize", "signal", "start", "stdin"]
    END_OF_STDIN_FIELD_NUMBER: _ClassVar[int]
    RESIZE_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    STDIN_FIELD_NUMBER: _ClassVar[int]
    end_of_stdin: bool
    resize: TerminalSize
    signal: int
    start: ExecStart
    stdin: bytes
    def __init__(self, start: _Optional[_Union[ExecStart, _Mapping[str, object]]] = ..., stdin: _Optional[bytes] = ..., end_of_stdin: bool = ..., resize: _Optional[_Union[TerminalSize, _Mapping[str, object]]] = ..., signal: _Optional[int] = ...) -> None: ...

class ExecJobResponse(_message.Message):
    __slots__ = ["result", "stderr", "stdout"]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    STDERR_FIELD_NUMBER: _ClassVar[int]
    STDOUT_FIELD_NUMBER: _ClassVar[int]
    result: ExecResult
    stderr: bytes
    stdout: bytes
    def __init__(self, stdout: _Optional[bytes] = ..., stderr: _Optional[bytes] = ..., result: _Optional[_Union[ExecResult, _Mapping[str, object]]] = ...) -> None: ...

class ExecResult(_message.Message):
    __slots__ = ["exit_code", "reason"]
    EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    exit_code: int
    reason: str
    def __init__(self, exit_code: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class ExecStart(_message.Message):
    __slots__ = ["args", "command", "environment", "terminal", "uuid"]
    class EnvironmentEntry(_message.Message):
        __slots__ = ["key", "value"]
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ARGS_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    TERMINAL_FIELD_NUMBER: _ClassVar[int]
    UUID_FIELD_NUMBER: _ClassVar[int]
    args: _containers.RepeatedScalarFieldContainer[str]
    command: str
    environment: _containers.ScalarMap[str, str]
    terminal: TerminalSize
    uuid: str
    def __init__(self, uuid: _Optional[str] = ..., command: _Optional[str] = ..., args: _Optional[_Iterable[str]] = ..., environment: _Optional[_Mapping[str, str]] = ..., terminal: _Optional[_Union[TerminalSize, _Mapping[str, object]]] = ...) -> None: ...

class FileUpload(_message.Message):
    __slots__ = ["content", "is_directory", "mode", "path"]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    IS_DIRECTORY_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    content: bytes
    is_directory: bool
    mode: int
    path: str
    def __init__(self, path: _Optional[str] = ..., content: _Optional[bytes] = ..., mode: _Optional[int] = ..., is_directory: bool = ...) -> None: ...

class GetJobLogsRequest(_message.Message):
    __slots__ = ["by_entry", "cursor", "no_follow", "since", "stream", "tail", "until", "uuid"]
    BY_ENTRY_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    NO_FOLLOW_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    TAIL_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    UUID_FIELD_NUMBER: _ClassVar[int]
    by_entry: bool
    cursor: str
    no_follow: bool
    since: str
    stream: int
    tail: int
    until: str
    uuid: str
    def __init__(self, uuid: _Optional[str] = ..., no_follow: bool = ..., cursor: _Optional[str] = ..., tail: _Optional[int] = ..., since: _Optional[str] = ..., until: _Optional[str] = ..., stream: _Optional[int] = ..., by_entry: bool = ...) -> None: ...

class GetJobMetricsRequest(_message.Message):
    __slots__ = ["end_time", "job_uuid", "limit", "start_time"]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    JOB_UUID_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    end_time: int
    job_uuid: str
    limit: int
    start_time: int
    def __init__(self, job_uuid: _Optional[str] = ..., start_time: _Optional[int] = ..., end_time: _Optional[int] = ..., limit: _Optional[int] = ...) -> None: ...

class GetJobStatusRequest(_message.Message):
    __slots__ = ["uuid"]
    UUID_FIELD_NUMBER: _ClassVar[int]
    uuid: str
    def __init__(self, uuid: _Optional[str] = ...) -> None: ...

class GetJobStatusResponse(_message.Message):
    __slots__ = ["args", "attempt", "command", "cpu_cores", "cpu_usec", "dependencies", "end_time", "environment", "exit_code", "files_kept_until", "gpu_count", "gpu_indices", "gpu_memory_mb", "interactive", "io_read_bytes", "io_write_bytes", "max_cpu", "max_disk", "max_io_bps", "max_memory", "max_runtime_ms", "memory_peak_bytes", "name", "net_received_bytes", "net_sent_bytes", "network", "next_runs", "node_id", "owner", "parent", "priority", "queue_position", "reason", "retries", "runtime", "schedule", "scheduled_time", "secret_environment", "start_time", "status", "tasks_peak", "unit", "uploads", "uuid", "volumes", "work_dir", "workflowUuid"]
    class EnvironmentEntry(_message.Message):
        __slots__ = ["key", "value"]
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class SecretEnvironmentEntry(_message.Message):
        __slots__ = ["key", "value"]
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ARGS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    CPU_CORES_FIELD_NUMBER: _ClassVar[int]
    CPU_USEC_FIELD_NUMBER: _ClassVar[int]
    DEPENDENCIES_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    FILES_KEPT_UNTIL_FIELD_NUMBER: _ClassVar[int]
    GPU_COUNT_FIELD_NUMBER: _ClassVar[int]
    GPU_INDICES_FIELD_NUMBER: _ClassVar[int]
    GPU_MEMORY_MB_FIELD_NUMBER: _ClassVar[int]
    INTERACTIVE_FIELD_NUMBER: _ClassVar[int]
    IO_READ_BYTES_FIELD_NUMBER: _ClassVar[int]
    IO_WRITE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_CPU_FIELD_NUMBER: _ClassVar[int]
    MAX_DISK_FIELD_NUMBER: _ClassVar[int]
    MAX_IO_BPS_FIELD_NUMBER: _ClassVar[int]
    MAX_MEMORY_FIELD_NUMBER: _ClassVar[int]
    MAX_RUNTIME_MS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_PEAK_BYTES_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    NET_RECEIVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    NET_SENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    NEXT_RUNS_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    QUEUE_POSITION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    RETRIES_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    SCHEDULED_TIME_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    SECRET_ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    TASKS_PEAK_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    UPLOADS_FIELD_NUMBER: _ClassVar[int]
    UUID_FIELD_NUMBER: _ClassVar[int]
    VOLUMES_FIELD_NUMBER: _ClassVar[int]
    WORKFLOWUUID_FIELD_NUMBER: _ClassVar[int]
    WORK_DIR_FIELD_NUMBER: _ClassVar[int]
    args: _containers.RepeatedScalarFieldContainer[str]
    attempt: int
    command: str
    cpu_cores: str
    cpu_usec: int
    dependencies: _containers.RepeatedScalarFieldContainer[str]
    end_time: str
    environment: _containers.ScalarMap[str, str]
    exit_code: int
    files_kept_until: str
    gpu_count: int
    gpu_indices: _containers.RepeatedScalarFieldContainer[int]
    gpu_memory_mb: int
    interactive: bool
    io_read_bytes: int
    io_write_bytes: int
    max_cpu: int
    max_disk: int
    max_io_bps: int
    max_memory: int
    max_runtime_ms: int
    memory_peak_bytes: int
    name: str
    net_received_bytes: int
    net_sent_bytes: int
    network: str
    next_runs: _containers.RepeatedScalarFieldContainer[str]
    node_id: str
    owner: str
    parent: str
    priority: int
    queue_position: int
    reason: str
    retries: int
    runtime: str
    schedule: str
    scheduled_time: str
    secret_environment: _containers.ScalarMap[str, str]
    start_time: str
    status: str
    tasks_peak: int
    unit: str
    uploads: _containers.RepeatedScalarFieldContainer[str]
    uuid: str
    volumes: _containers.RepeatedScalarFieldContainer[str]
    work_dir: str
    workflowUuid: str
    def __init__(self, uuid: _Optional[str] = ..., name: _Optional[str] = ..., command: _Optional[str] = ..., args: _Optional[_Iterable[str]] = ..., max_cpu: _Optional[int] = ..., cpu_cores: _Optional[str] = ..., max_memory: _Optional[int] = ..., max_io_bps: _Optional[int] = ..., status: _Optional[str] = ..., start_time: _Optional[str] = ..., end_time: _Optional[str] = ..., exit_code: _Optional[int] = ..., scheduled_time: _Optional[str] = ..., environment: _Optional[_Mapping[str, str]] = ..., secret_environment: _Optional[_Mapping[str, str]] = ..., network: _Optional[str] = ..., volumes: _Optional[_Iterable[str]] = ..., runtime: _Optional[str] = ..., work_dir: _Optional[str] = ..., uploads: _Optional[_Iterable[str]] = ..., dependencies: _Optional[_Iterable[str]] = ..., workflowUuid: _Optional[str] = ..., gpu_indices: _Optional[_Iterable[int]] = ..., gpu_count: _Optional[int] = ..., gpu_memory_mb: _Optional[int] = ..., node_id: _Optional[str] = ..., reason: _Optional[str] = ..., owner: _Optional[str] = ..., unit: _Optional[str] = ..., cpu_usec: _Optional[int] = ..., memory_peak_bytes: _Optional[int] = ..., io_read_bytes: _Optional[int] = ..., io_write_bytes: _Optional[int] = ..., max_runtime_ms: _Optional[int] = ..., priority: _Optional[int] = ..., retries: _Optional[int] = ..., attempt: _Optional[int] = ..., max_disk: _Optional[int] = ..., interactive: bool = ..., queue_position: _Optional[int] = ..., schedule: _Optional[str] = ..., next_runs: _Optional[_Iterable[str]] = ..., parent: _Optional[str] = ..., files_kept_until: _Optional[str] = ..., tasks_peak: _Optional[int] = ..., net_received_bytes: _Optional[int] = ..., net_sent_bytes: _Optional[int] = ...) -> None: ...

class GetJobTelematicsRequest(_message.Message):
    __slots__ = ["end_time", "job_uuid", "limit", "start_time", "types"]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    JOB_UUID_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    TYPES_FIELD_NUMBER: _ClassVar[int]
    end_time: int
    job_uuid: str
    limit: int
    start_time: int
    types: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, job_uuid: _Optional[str] = ..., types: _Optional[_Iterable[str]] = ..., start_time: _Optional[int] = ..., end_time: _Optional[int] = ..., limit: _Optional[int] = ...) -> None: ...

class GetRuntimeInfoRequest(_message.Message):
    __slots__ = ["runtime"]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    runtime: str
    def __init__(self, runtime: _Optional[str] = ...) -> None: ...

class GetRuntimeInfoResponse(_message.Message):
    __slots__ = ["found", "runtime"]
    FOUND_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    found: bool
    runtime: RuntimeInfo
    def __init__(self, runtime: _Optional[_Union[RuntimeInfo, _Mapping[str, object]]] = ..., found: bool = ...) -> None: ...

class GetWorkflowJobsRequest(_message.Message):
    __slots__ = ["workflowUuid"]
    WORKFLOWUUID_FIELD_NUMBER: _ClassVar[int]
    workflowUuid: str
    def __init__(self, workflowUuid: _Optional[str] = ...) -> None: ...

class GetWorkflowJobsResponse(_message.Message):
    __slots__ = ["jobs"]
    JOBS_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[WorkflowJob]
    def __init__(self, jobs: _Optional[_Iterable[_Union[WorkflowJob, _Mapping[str, object]]]] = ...) -> None: ...

class GetWorkflowStatusRequest(_message.Message):
    __slots__ = ["workflowUuid"]
    WORKFLOWUUID_FIELD_NUMBER: _ClassVar[int]
    workflowUuid: str
    def __init__(self, workflowUuid: _Optional[str] = ...) -> None: ...

class GetWorkflowStatusResponse(_message.Message):
    __slots__ = ["jobs", "workflow"]
    JOBS_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[WorkflowJob]
    workflow: WorkflowInfo
    def __init__(self, workflow: _Optional[_Union[WorkflowInfo, _Mapping[str, object]]] = ..., jobs: _Optional[_Iterable[_Union[WorkflowJob, _Mapping[str, object]]]] = ...) -> None: ...

class HostInfo(_message.Message):
    __slots__ = ["architecture", "boot_time", "hostname", "kernel_version", "mac_addresses", "node_id", "os", "server_ips", "uptime"]
    ARCHITECTURE_FIELD_NUMBER: _ClassVar[int]
    BOOT_TIME_FIELD_NUMBER: _ClassVar[int]
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    KERNEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    MAC_ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    OS_FIELD_NUMBER: _ClassVar[int]
    SERVER_IPS_FIELD_NUMBER: _ClassVar[int]
    UPTIME_FIELD_NUMBER: _ClassVar[int]
    architecture: str
    boot_time: str
    hostname: str
    kernel_version: str
    mac_addresses: _containers.RepeatedScalarFieldContainer[str]
    node_id: str
    os: str
    server_ips: _containers.RepeatedScalarFieldContainer[str]
    uptime: int
    def __init__(self, hostname: _Optional[str] = ..., os: _Optional[str] = ..., kernel_version: _Optional[str] = ..., architecture: _Optional[str] = ..., boot_time: _Optional[str] = ..., uptime: _Optional[int] = ..., node_id: _Optional[str] = ..., server_ips: _Optional[_Iterable[str]] = ..., mac_addresses: _Optional[_Iterable[str]] = ...) -> None: ...

class IOMetrics(_message.Message):
    __slots__ = ["disk_io", "read_bytes", "read_rate", "total_reads", "total_writes", "write_bytes", "write_rate"]
    DISK_IO_FIELD_NUMBER: _ClassVar[int]
    READ_BYTES_FIELD_NUMBER: _ClassVar[int]
    READ_RATE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_READS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_WRITES_FIELD_NUMBER: _ClassVar[int]
    WRITE_BYTES_FIELD_NUMBER: _ClassVar[int]
    WRITE_RATE_FIELD_NUMBER: _ClassVar[int]
    disk_io: _containers.RepeatedCompositeFieldContainer[DiskIOMetrics]
    read_bytes: int
    read_rate: float
    total_reads: int
    total_writes: int
    write_bytes: int
    write_rate: float
    def __init__(self, total_reads: _Optional[int] = ..., total_writes: _Optional[int] = ..., read_bytes: _Optional[int] = ..., write_bytes: _Optional[int] = ..., read_rate: _Optional[float] = ..., write_rate: _Optional[float] = ..., disk_io: _Optional[_Iterable[_Union[DiskIOMetrics, _Mapping[str, object]]]] = ...) -> None: ...

class InstallRuntimeFromLocalRequest(_message.Message):
    __slots__ = ["files", "forceReinstall", "runtimeSpec"]
    FILES_FIELD_NUMBER: _ClassVar[int]
    FORCEREINSTALL_FIELD_NUMBER: _ClassVar[int]
    RUNTIMESPEC_FIELD_NUMBER: _ClassVar[int]
    files: _containers.RepeatedCompositeFieldContainer[RuntimeFile]
    forceReinstall: bool
    runtimeSpec: str
    def __init__(self, runtimeSpec: _Optional[str] = ..., files: _Optional[_Iterable[_Union[RuntimeFile, _Mapping[str, object]]]] = ..., forceReinstall: bool = ...) -> None: ...

class InstallRuntimeRequest(_message.Message):
    __slots__ = ["branch", "forceReinstall", "path", "registry_url", "repository", "runtimeSpec"]
    BRANCH_FIELD_NUMBER: _ClassVar[int]
    FORCEREINSTALL_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    REGISTRY_URL_FIELD_NUMBER: _ClassVar[int]
    REPOSITORY_FIELD_NUMBER: _ClassVar[int]
    RUNTIMESPEC_FIELD_NUMBER: _ClassVar[int]
    branch: str
    forceReinstall: bool
    path: str
    registry_url: str
    repository: str
    runtimeSpec: str
    def __init__(self, runtimeSpec: _Optional[str] = ..., repository: _Optional[str] = ..., branch: _Optional[str] = ..., path: _Optional[str] = ..., forceReinstall: bool = ..., registry_url: _Optional[str] = ...) -> None: ...

class InstallRuntimeResponse(_message.Message):
    __slots__ = ["buildJobUuid", "message", "repository", "resolvedPath", "runtimeSpec", "status"]
    BUILDJOBUUID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    REPOSITORY_FIELD_NUMBER: _ClassVar[int]
    RESOLVEDPATH_FIELD_NUMBER: _ClassVar[int]
    RUNTIMESPEC_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    buildJobUuid: str
    message: str
    repository: str
    resolvedPath: str
    runtimeSpec: str
    status: str
    def __init__(self, buildJobUuid: _Optional[str] = ..., runtimeSpec: _Optional[str] = ..., status: _Optional[str] = ..., message: _Optional[str] = ..., repository: _Optional[str] = ..., resolvedPath: _Optional[str] = ...) -> None: ...

class Job(_message.Message):
    __slots__ = ["args", "command", "cpu_cores", "end_time", "environment", "exit_code", "gpu_count", "gpu_indices", "gpu_memory_mb", "max_cpu", "max_io_bps", "max_memory", "name", "node_id", "owner", "parent", "priority", "queue_position", "reason", "runtime", "scheduled_time", "secret_environment", "start_time", "status", "uuid"]
    class EnvironmentEntry(_message.Message):
        __slots__ = ["key", "value"]
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class SecretEnvironmentEntry(_message.Message):
        __slots__ = ["key", "value"]
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ARGS_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    CPU_CORES_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    GPU_COUNT_FIELD_NUMBER: _ClassVar[int]
    GPU_INDICES_FIELD_NUMBER: _ClassVar[int]
    GPU_MEMORY_MB_FIELD_NUMBER: _ClassVar[int]
    MAX_CPU_FIELD_NUMBER: _ClassVar[int]
    MAX_IO_BPS_FIELD_NUMBER: _ClassVar[int]
    MAX_MEMORY_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    QUEUE_POSITION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    SCHEDULED_TIME_FIELD_NUMBER: _ClassVar[int]
    SECRET_ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    UUID_FIELD_NUMBER: _ClassVar[int]
    args: _containers.RepeatedScalarFieldContainer[str]
    command: str
    cpu_cores: str
    end_time: str
    environment: _containers.ScalarMap[str, str]
    exit_code: int
    gpu_count: int
    gpu_indices: _containers.RepeatedScalarFieldContainer[int]
    gpu_memory_mb: int
    max_cpu: int
    max_io_bps: int
    max_memory: int
    name: str
    node_id: str
    owner: str
    parent: str
    priority: int
    queue_position: int
    reason: str
    runtime: str
    scheduled_time: str
    secret_environment: _containers.ScalarMap[str, str]
    start_time: str
    status: str
    uuid: str
    def __init__(self, uuid: _Optional[str] = ..., name: _Optional[str] = ..., command: _Optional[str] = ..., args: _Optional[_Iterable[str]] = ..., max_cpu: _Optional[int] = ..., cpu_cores: _Optional[str] = ..., max_memory: _Optional[int] = ..., max_io_bps: _Optional[int] = ..., status: _Optional[str] = ..., start_time: _Optional[str] = ..., end_time: _Optional[str] = ..., exit_code: _Optional[int] = ..., scheduled_time: _Optional[str] = ..., runtime: _Optional[str] = ..., environment: _Optional[_Mapping[str, str]] = ..., secret_environment: _Optional[_Mapping[str, str]] = ..., gpu_indices: _Optional[_Iterable[int]] = ..., gpu_count: _Optional[int] = ..., gpu_memory_mb: _Optional[int] = ..., node_id: _Optional[str] = ..., reason: _Optional[str] = ..., owner: _Optional[str] = ..., priority: _Optional[int] = ..., queue_position: _Optional[int] = ..., parent: _Optional[str] = ...) -> None: ...

class JobMetricsEvent(_message.Message):
    __slots__ = ["cpu_percent", "disk_read_bytes", "disk_write_bytes", "final", "gpu_memory_bytes", "gpu_percent", "job_uuid", "memory_bytes", "memory_limit", "net_recv_bytes", "net_sent_bytes", "sample", "timestamp"]
    CPU_PERCENT_FIELD_NUMBER: _ClassVar[int]
    DISK_READ_BYTES_FIELD_NUMBER: _ClassVar[int]
    DISK_WRITE_BYTES_FIELD_NUMBER: _ClassVar[int]
    FINAL_FIELD_NUMBER: _ClassVar[int]
    GPU_MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    GPU_PERCENT_FIELD_NUMBER: _ClassVar[int]
    JOB_UUID_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_LIMIT_FIELD_NUMBER: _ClassVar[int]
    NET_RECV_BYTES_FIELD_NUMBER: _ClassVar[int]
    NET_SENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    cpu_percent: float
    disk_read_bytes: int
    disk_write_bytes: int
    final: bool
    gpu_memory_bytes: int
    gpu_percent: float
    job_uuid: str
    memory_bytes: int
    memory_limit: int
    net_recv_bytes: int
    net_sent_bytes: int
    sample: JobSample
    timestamp: int
    def __init__(self, timestamp: _Optional[int] = ..., job_uuid: _Optional[str] = ..., cpu_percent: _Optional[float] = ..., memory_bytes: _Optional[int] = ..., memory_limit: _Optional[int] = ..., disk_read_bytes: _Optional[int] = ..., disk_write_bytes: _Optional[int] = ..., net_recv_bytes: _Optional[int] = ..., net_sent_bytes: _Optional[int] = ..., gpu_percent: _Optional[float] = ..., gpu_memory_bytes: _Optional[int] = ..., sample: _Optional[_Union[JobSample, _Mapping[str, object]]] = ..., final: bool = ...) -> None: ...

class JobRequirement(_message.Message):
    __slots__ = ["expression", "jobUuid", "status"]
    EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    JOBUUID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    expression: str
    jobUuid: str
    status: str
    def __init__(self, jobUuid: _Optional[str] = ..., status: _Optional[str] = ..., expression: _Optional[str] = ...) -> None: ...

class JobSample(_message.Message):
    __slots__ = ["cpu_percent", "cpu_pressure", "cpu_throttled_usec", "cpu_usec", "io_pressure", "io_read_bytes", "io_write_bytes", "memory_bytes", "memory_peak_bytes", "memory_pressure", "net_received_bytes", "net_sent_bytes", "tasks", "tasks_peak"]
    CPU_PERCENT_FIELD_NUMBER: _ClassVar[int]
    CPU_PRESSURE_FIELD_NUMBER: _ClassVar[int]
    CPU_THROTTLED_USEC_FIELD_NUMBER: _ClassVar[int]
    CPU_USEC_FIELD_NUMBER: _ClassVar[int]
    IO_PRESSURE_FIELD_NUMBER: _ClassVar[int]
    IO_READ_BYTES_FIELD_NUMBER: _ClassVar[int]
    IO_WRITE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_PEAK_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_PRESSURE_FIELD_NUMBER: _ClassVar[int]
    NET_RECEIVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    NET_SENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    TASKS_PEAK_FIELD_NUMBER: _ClassVar[int]
    cpu_percent: float
    cpu_pressure: float
    cpu_throttled_usec: int
    cpu_usec: int
    io_pressure: float
    io_read_bytes: int
    io_write_bytes: int
    memory_bytes: int
    memory_peak_bytes: int
    memory_pressure: float
    net_received_bytes: int
    net_sent_bytes: int
    tasks: int
    tasks_peak: int
    def __init__(self, cpu_percent: _Optional[float] = ..., cpu_usec: _Optional[int] = ..., cpu_throttled_usec: _Optional[int] = ..., memory_bytes: _Optional[int] = ..., memory_peak_bytes: _Optional[int] = ..., io_read_bytes: _Optional[int] = ..., io_write_bytes: _Optional[int] = ..., tasks: _Optional[int] = ..., tasks_peak: _Optional[int] = ..., net_received_bytes: _Optional[int] = ..., net_sent_bytes: _Optional[int] = ..., cpu_pressure: _Optional[float] = ..., memory_pressure: _Optional[float] = ..., io_pressure: _Optional[float] = ...) -> None: ...

class Jobs(_message.Message):
    __slots__ = ["jobs"]
    JOBS_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[Job]
    def __init__(self, jobs: _Optional[_Iterable[_Union[Job, _Mapping[str, object]]]] = ...) -> None: ...

class ListRuntimesResponse(_message.Message):
    __slots__ = ["runtimes"]
    RUNTIMES_FIELD_NUMBER: _ClassVar[int]
    runtimes: _containers.RepeatedCompositeFieldContainer[RuntimeInfo]
    def __init__(self, runtimes: _Optional[_Iterable[_Union[RuntimeInfo, _Mapping[str, object]]]] = ...) -> None: ...

class ListWorkflowsRequest(_message.Message):
    __slots__ = ["includeCompleted"]
    INCLUDECOMPLETED_FIELD_NUMBER: _ClassVar[int]
    includeCompleted: bool
    def __init__(self, includeCompleted: bool = ...) -> None: ...

class ListWorkflowsResponse(_message.Message):
    __slots__ = ["workflows"]
    WORKFLOWS_FIELD_NUMBER: _ClassVar[int]
    workflows: _containers.RepeatedCompositeFieldContainer[WorkflowInfo]
    def __init__(self, workflows: _Optional[_Iterable[_Union[WorkflowInfo, _Mapping[str, object]]]] = ...) -> None: ...

class MemoryMetrics(_message.Message):
    __slots__ = ["available_bytes", "buffered_bytes", "cached_bytes", "free_bytes", "swap_free", "swap_total", "swap_used", "total_bytes", "usage_percent", "used_bytes"]
    AVAILABLE_BYTES_FIELD_NUMBER: _ClassVar[int]
    BUFFERED_BYTES_FIELD_NUMBER: _ClassVar[int]
    CACHED_BYTES_FIELD_NUMBER: _ClassVar[int]
    FREE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SWAP_FREE_FIELD_NUMBER: _ClassVar[int]
    SWAP_TOTAL_FIELD_NUMBER: _ClassVar[int]
    SWAP_USED_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    USAGE_PERCENT_FIELD_NUMBER: _ClassVar[int]
    USED_BYTES_FIELD_NUMBER: _ClassVar[int]
    available_bytes: int
    buffered_bytes: int
    cached_bytes: int
    free_bytes: int
    swap_free: int
    swap_total: int
    swap_used: int
    total_bytes: int
    usage_percent: float
    used_bytes: int
    def __init__(self, total_bytes: _Optional[int] = ..., used_bytes: _Optional[int] = ..., free_bytes: _Optional[int] = ..., available_bytes: _Optional[int] = ..., usage_percent: _Optional[float] = ..., cached_bytes: _Optional[int] = ..., buffered_bytes: _Optional[int] = ..., swap_total: _Optional[int] = ..., swap_used: _Optional[int] = ..., swap_free: _Optional[int] = ...) -> None: ...

class Network(_message.Message):
    __slots__ = ["bridge", "cidr", "job_count", "name"]
    BRIDGE_FIELD_NUMBER: _ClassVar[int]
    CIDR_FIELD_NUMBER: _ClassVar[int]
    JOB_COUNT_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    bridge: str
    cidr: str
    job_count: int
    name: str
    def __init__(self, name: _Optional[str] = ..., cidr: _Optional[str] = ..., bridge: _Optional[str] = ..., job_count: _Optional[int] = ...) -> None: ...

class NetworkMetrics(_message.Message):
    __slots__ = ["bytes_received", "bytes_sent", "drops_in", "drops_out", "errors_in", "errors_out", "interface", "ip_addresses", "mac_address", "packets_received", "packets_sent", "receive_rate", "transmit_rate"]
    BYTES_RECEIVED_FIELD_NUMBER: _ClassVar[int]
    BYTES_SENT_FIELD_NUMBER: _ClassVar[int]
    DROPS_IN_FIELD_NUMBER: _ClassVar[int]
    DROPS_OUT_FIELD_NUMBER: _ClassVar[int]
    ERRORS_IN_FIELD_NUMBER: _ClassVar[int]
    ERRORS_OUT_FIELD_NUMBER: _ClassVar[int]
    INTERFACE_FIELD_NUMBER: _ClassVar[int]
    IP_ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    MAC_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PACKETS_RECEIVED_FIELD_NUMBER: _ClassVar[int]
    PACKETS_SENT_FIELD_NUMBER: _ClassVar[int]
    RECEIVE_RATE_FIELD_NUMBER: _ClassVar[int]
    TRANSMIT_RATE_FIELD_NUMBER: _ClassVar[int]
    bytes_received: int
    bytes_sent: int
    drops_in: int
    drops_out: int
    errors_in: int
    errors_out: int
    interface: str
    ip_addresses: _containers.RepeatedScalarFieldContainer[str]
    mac_address: str
    packets_received: int
    packets_sent: int
    receive_rate: float
    transmit_rate: float
    def __init__(self, interface: _Optional[str] = ..., bytes_received: _Optional[int] = ..., bytes_sent: _Optional[int] = ..., packets_received: _Optional[int] = ..., packets_sent: _Optional[int] = ..., errors_in: _Optional[int] = ..., errors_out: _Optional[int] = ..., drops_in: _Optional[int] = ..., drops_out: _Optional[int] = ..., receive_rate: _Optional[float] = ..., transmit_rate: _Optional[float] = ..., ip_addresses: _Optional[_Iterable[str]] = ..., mac_address: _Optional[str] = ...) -> None: ...

class Networks(_message.Message):
    __slots__ = ["networks"]
    NETWORKS_FIELD_NUMBER: _ClassVar[int]
    networks: _containers.RepeatedCompositeFieldContainer[Network]
    def __init__(self, networks: _Optional[_Iterable[_Union[Network, _Mapping[str, object]]]] = ...) -> None: ...

class ProcessInfo(_message.Message):
    __slots__ = ["command", "cpu_percent", "memory_bytes", "memory_percent", "name", "pid", "ppid", "start_time", "status"]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    CPU_PERCENT_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_PERCENT_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    PPID_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    command: str
    cpu_percent: float
    memory_bytes: int
    memory_percent: float
    name: str
    pid: int
    ppid: int
    start_time: str
    status: str
    def __init__(self, pid: _Optional[int] = ..., ppid: _Optional[int] = ..., name: _Optional[str] = ..., command: _Optional[str] = ..., cpu_percent: _Optional[float] = ..., memory_percent: _Optional[float] = ..., memory_bytes: _Optional[int] = ..., status: _Optional[str] = ..., start_time: _Optional[str] = ...) -> None: ...

class ProcessMetrics(_message.Message):
    __slots__ = ["running_processes", "sleeping_processes", "stopped_processes", "top_by_cpu", "top_by_memory", "total_processes", "total_threads", "zombie_processes"]
    RUNNING_PROCESSES_FIELD_NUMBER: _ClassVar[int]
    SLEEPING_PROCESSES_FIELD_NUMBER: _ClassVar[int]
    STOPPED_PROCESSES_FIELD_NUMBER: _ClassVar[int]
    TOP_BY_CPU_FIELD_NUMBER: _ClassVar[int]
    TOP_BY_MEMORY_FIELD_NUMBER: _ClassVar[int]
    TOTAL_PROCESSES_FIELD_NUMBER: _ClassVar[int]
    TOTAL_THREADS_FIELD_NUMBER: _ClassVar[int]
    ZOMBIE_PROCESSES_FIELD_NUMBER: _ClassVar[int]
    running_processes: int
    sleeping_processes: int
    stopped_processes: int
    top_by_cpu: _containers.RepeatedCompositeFieldContainer[ProcessInfo]
    top_by_memory: _containers.RepeatedCompositeFieldContainer[ProcessInfo]
    total_processes: int
    total_threads: int
    zombie_processes: int
    def __init__(self, total_processes: _Optional[int] = ..., running_processes: _Optional[int] = ..., sleeping_processes: _Optional[int] = ..., stopped_processes: _Optional[int] = ..., zombie_processes: _Optional[int] = ..., total_threads: _Optional[int] = ..., top_by_cpu: _Optional[_Iterable[_Union[ProcessInfo, _Mapping[str, object]]]] = ..., top_by_memory: _Optional[_Iterable[_Union[ProcessInfo, _Mapping[str, object]]]] = ...) -> None: ...

class RemoveNetworkRequest(_message.Message):
    __slots__ = ["name"]
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class RemoveNetworkResponse(_message.Message):
    __slots__ = ["message", "success"]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    message: str
    success: bool
    def __init__(self, success: bool = ..., message: _Optional[str] = ...) -> None: ...

class RemoveRuntimeRequest(_message.Message):
    __slots__ = ["runtime"]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    runtime: str
    def __init__(self, runtime: _Optional[str] = ...) -> None: ...

class RemoveRuntimeResponse(_message.Message):
    __slots__ = ["freed_space_bytes", "message", "success"]
    FREED_SPACE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    freed_space_bytes: int
    message: str
    success: bool
    def __init__(self, success: bool = ..., message: _Optional[str] = ..., freed_space_bytes: _Optional[int] = ...) -> None: ...

class RemoveVolumeRequest(_message.Message):
    __slots__ = ["name"]
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class RemoveVolumeResponse(_message.Message):
    __slots__ = ["message", "success"]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    message: str
    success: bool
    def __init__(self, success: bool = ..., message: _Optional[str] = ...) -> None: ...

class RunJobRequest(_message.Message):
    __slots__ = ["args", "command", "cpu_cores", "environment", "gpu_count", "gpu_memory_mb", "interactive", "jobUuid", "max_cpu", "max_disk", "max_io_bps", "max_memory", "max_runtime_ms", "name", "network", "priority", "requirements", "retries", "retry_delay_ms", "runtime", "schedule", "secret_environment", "time_zone", "uploads", "volumes", "work_dir", "workflowUuid"]
    class EnvironmentEntry(_message.Message):
        __slots__ = ["key", "value"]
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class SecretEnvironmentEntry(_message.Message):
        __slots__ = ["key", "value"]
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ARGS_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    CPU_CORES_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    GPU_COUNT_FIELD_NUMBER: _ClassVar[int]
    GPU_MEMORY_MB_FIELD_NUMBER: _ClassVar[int]
    INTERACTIVE_FIELD_NUMBER: _ClassVar[int]
    JOBUUID_FIELD_NUMBER: _ClassVar[int]
    MAX_CPU_FIELD_NUMBER: _ClassVar[int]
    MAX_DISK_FIELD_NUMBER: _ClassVar[int]
    MAX_IO_BPS_FIELD_NUMBER: _ClassVar[int]
    MAX_MEMORY_FIELD_NUMBER: _ClassVar[int]
    MAX_RUNTIME_MS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    REQUIREMENTS_FIELD_NUMBER: _ClassVar[int]
    RETRIES_FIELD_NUMBER: _ClassVar[int]
    RETRY_DELAY_MS_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    SECRET_ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    TIME_ZONE_FIELD_NUMBER: _ClassVar[int]
    UPLOADS_FIELD_NUMBER: _ClassVar[int]
    VOLUMES_FIELD_NUMBER: _ClassVar[int]
    WORKFLOWUUID_FIELD_NUMBER: _ClassVar[int]
    WORK_DIR_FIELD_NUMBER: _ClassVar[int]
    args: _containers.RepeatedScalarFieldContainer[str]
    command: str
    cpu_cores: str
    environment: _containers.ScalarMap[str, str]
    gpu_count: int
    gpu_memory_mb: int
    interactive: bool
    jobUuid: str
    max_cpu: int
    max_disk: int
    max_io_bps: int
    max_memory: int
    max_runtime_ms: int
    name: str
    network: str
    priority: int
    requirements: _containers.RepeatedCompositeFieldContainer[JobRequirement]
    retries: int
    retry_delay_ms: int
    runtime: str
    schedule: str
    secret_environment: _containers.ScalarMap[str, str]
    time_zone: str
    uploads: _containers.RepeatedCompositeFieldContainer[FileUpload]
    volumes: _containers.RepeatedScalarFieldContainer[str]
    work_dir: str
    workflowUuid: str
    def __init__(self, name: _Optional[str] = ..., command: _Optional[str] = ..., args: _Optional[_Iterable[str]] = ..., max_cpu: _Optional[int] = ..., cpu_cores: _Optional[str] = ..., max_memory: _Optional[int] = ..., max_io_bps: _Optional[int] = ..., uploads: _Optional[_Iterable[_Union[FileUpload, _Mapping[str, object]]]] = ..., schedule: _Optional[str] = ..., network: _Optional[str] = ..., volumes: _Optional[_Iterable[str]] = ..., runtime: _Optional[str] = ..., work_dir: _Optional[str] = ..., environment: _Optional[_Mapping[str, str]] = ..., workflowUuid: _Optional[str] = ..., jobUuid: _Optional[str] = ..., requirements: _Optional[_Iterable[_Union[JobRequirement, _Mapping[str, object]]]] = ..., secret_environment: _Optional[_Mapping[str, str]] = ..., gpu_count: _Optional[int] = ..., gpu_memory_mb: _Optional[int] = ..., max_runtime_ms: _Optional[int] = ..., priority: _Optional[int] = ..., retries: _Optional[int] = ..., retry_delay_ms: _Optional[int] = ..., max_disk: _Optional[int] = ..., interactive: bool = ..., time_zone: _Optional[str] = ...) -> None: ...

class RunJobResponse(_message.Message):
    __slots__ = ["args", "command", "cpuCores", "endTime", "exitCode", "job_uuid", "maxCpu", "maxIobps", "maxMemory", "notices", "scheduledTime", "startTime", "status"]
    ARGS_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    CPUCORES_FIELD_NUMBER: _ClassVar[int]
    ENDTIME_FIELD_NUMBER: _ClassVar[int]
    EXITCODE_FIELD_NUMBER: _ClassVar[int]
    JOB_UUID_FIELD_NUMBER: _ClassVar[int]
    MAXCPU_FIELD_NUMBER: _ClassVar[int]
    MAXIOBPS_FIELD_NUMBER: _ClassVar[int]
    MAXMEMORY_FIELD_NUMBER: _ClassVar[int]
    NOTICES_FIELD_NUMBER: _ClassVar[int]
    SCHEDULEDTIME_FIELD_NUMBER: _ClassVar[int]
    STARTTIME_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    args: _containers.RepeatedScalarFieldContainer[str]
    command: str
    cpuCores: str
    endTime: str
    exitCode: int
    job_uuid: str
    maxCpu: int
    maxIobps: int
    maxMemory: int
    notices: _containers.RepeatedScalarFieldContainer[str]
    scheduledTime: str
    startTime: str
    status: str
    def __init__(self, job_uuid: _Optional[str] = ..., status: _Optional[str] = ..., command: _Optional[str] = ..., args: _Optional[_Iterable[str]] = ..., maxCpu: _Optional[int] = ..., cpuCores: _Optional[str] = ..., maxMemory: _Optional[int] = ..., maxIobps: _Optional[int] = ..., startTime: _Optional[str] = ..., endTime: _Optional[str] = ..., exitCode: _Optional[int] = ..., scheduledTime: _Optional[str] = ..., notices: _Optional[_Iterable[str]] = ...) -> None: ...

class RunWorkflowRequest(_message.Message):
    __slots__ = ["jobOrder", "totalJobs", "workflow", "workflowFiles", "yamlContent"]
    JOBORDER_FIELD_NUMBER: _ClassVar[int]
    TOTALJOBS_FIELD_NUMBER: _ClassVar[int]
    WORKFLOWFILES_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_FIELD_NUMBER: _ClassVar[int]
    YAMLCONTENT_FIELD_NUMBER: _ClassVar[int]
    jobOrder: _containers.RepeatedScalarFieldContainer[str]
    totalJobs: int
    workflow: str
    workflowFiles: _containers.RepeatedCompositeFieldContainer[FileUpload]
    yamlContent: str
    def __init__(self, workflow: _Optional[str] = ..., totalJobs: _Optional[int] = ..., jobOrder: _Optional[_Iterable[str]] = ..., yamlContent: _Optional[str] = ..., workflowFiles: _Optional[_Iterable[_Union[FileUpload, _Mapping[str, object]]]] = ...) -> None: ...

class RunWorkflowResponse(_message.Message):
    __slots__ = ["status", "workflowUuid"]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    WORKFLOWUUID_FIELD_NUMBER: _ClassVar[int]
    status: str
    workflowUuid: str
    def __init__(self, workflowUuid: _Optional[str] = ..., status: _Optional[str] = ...) -> None: ...

class RunningJob(_message.Message):
    __slots__ = ["command", "max_cpu", "max_memory", "name", "owner", "sample", "start_time", "status", "uuid"]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    MAX_CPU_FIELD_NUMBER: _ClassVar[int]
    MAX_MEMORY_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    UUID_FIELD_NUMBER: _ClassVar[int]
    command: str
    max_cpu: int
    max_memory: int
    name: str
    owner: str
    sample: JobSample
    start_time: str
    status: str
    uuid: str
    def __init__(self, uuid: _Optional[str] = ..., name: _Optional[str] = ..., owner: _Optional[str] = ..., status: _Optional[str] = ..., start_time: _Optional[str] = ..., command: _Optional[str] = ..., max_cpu: _Optional[int] = ..., max_memory: _Optional[int] = ..., sample: _Optional[_Union[JobSample, _Mapping[str, object]]] = ...) -> None: ...

class RuntimeBuildInfo(_message.Message):
    __slots__ = ["built_at", "built_with", "platform"]
    BUILT_AT_FIELD_NUMBER: _ClassVar[int]
    BUILT_WITH_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_FIELD_NUMBER: _ClassVar[int]
    built_at: str
    built_with: str
    platform: str
    def __init__(self, built_at: _Optional[str] = ..., built_with: _Optional[str] = ..., platform: _Optional[str] = ...) -> None: ...

class RuntimeFile(_message.Message):
    __slots__ = ["content", "executable", "path"]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    EXECUTABLE_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    content: bytes
    executable: bool
    path: str
    def __init__(self, path: _Optional[str] = ..., content: _Optional[bytes] = ..., executable: bool = ...) -> None: ...

class RuntimeInfo(_message.Message):
    __slots__ = ["available", "build_info", "description", "environment", "language", "language_version", "libraries", "name", "original_yaml", "packages", "requirements", "size_bytes", "version"]
    class EnvironmentEntry(_message.Message):
        __slots__ = ["key", "value"]
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    BUILD_INFO_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_VERSION_FIELD_NUMBER: _ClassVar[int]
    LIBRARIES_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ORIGINAL_YAML_FIELD_NUMBER: _ClassVar[int]
    PACKAGES_FIELD_NUMBER: _ClassVar[int]
    REQUIREMENTS_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    available: bool
    build_info: RuntimeBuildInfo
    description: str
    environment: _containers.ScalarMap[str, str]
    language: str
    language_version: str
    libraries: _containers.RepeatedScalarFieldContainer[str]
    name: str
    original_yaml: str
    packages: _containers.RepeatedScalarFieldContainer[str]
    requirements: RuntimeRequirements
    size_bytes: int
    version: str
    def __init__(self, name: _Optional[str] = ..., language: _Optional[str] = ..., version: _Optional[str] = ..., description: _Optional[str] = ..., size_bytes: _Optional[int] = ..., packages: _Optional[_Iterable[str]] = ..., available: bool = ..., requirements: _Optional[_Union[RuntimeRequirements, _Mapping[str, object]]] = ..., language_version: _Optional[str] = ..., libraries: _Optional[_Iterable[str]] = ..., environment: _Optional[_Mapping[str, str]] = ..., build_info: _Optional[_Union[RuntimeBuildInfo, _Mapping[str, object]]] = ..., original_yaml: _Optional[str] = ...) -> None: ...

class RuntimeInstallationChunk(_message.Message):
    __slots__ = ["log", "progress", "result"]
    LOG_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    log: RuntimeInstallationLog
    progress: RuntimeInstallationProgress
    result: RuntimeInstallationResult
    def __init__(self, progress: _Optional[_Union[RuntimeInstallationProgress, _Mapping[str, object]]] = ..., log: _Optional[_Union[RuntimeInstallationLog, _Mapping[str, object]]] = ..., result: _Optional[_Union[RuntimeInstallationResult, _Mapping[str, object]]] = ...) -> None: ...

class RuntimeInstallationLog(_message.Message):
    __slots__ = ["data"]
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    def __init__(self, data: _Optional[bytes] = ...) -> None: ...

class RuntimeInstallationProgress(_message.Message):
    __slots__ = ["message", "step", "total_steps"]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    TOTAL_STEPS_FIELD_NUMBER: _ClassVar[int]
    message: str
    step: int
    total_steps: int
    def __init__(self, message: _Optional[str] = ..., step: _Optional[int] = ..., total_steps: _Optional[int] = ...) -> None: ...

class RuntimeInstallationResult(_message.Message):
    __slots__ = ["install_path", "message", "runtime_spec", "success"]
    INSTALL_PATH_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_SPEC_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    install_path: str
    message: str
    runtime_spec: str
    success: bool
    def __init__(self, success: bool = ..., message: _Optional[str] = ..., runtime_spec: _Optional[str] = ..., install_path: _Optional[str] = ...) -> None: ...

class RuntimeRequirements(_message.Message):
    __slots__ = ["architectures", "gpu"]
    ARCHITECTURES_FIELD_NUMBER: _ClassVar[int]
    GPU_FIELD_NUMBER: _ClassVar[int]
    architectures: _containers.RepeatedScalarFieldContainer[str]
    gpu: bool
    def __init__(self, architectures: _Optional[_Iterable[str]] = ..., gpu: bool = ...) -> None: ...

class RuntimeSpecInfo(_message.Message):
    __slots__ = ["architecture", "language", "variants", "version"]
    ARCHITECTURE_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    VARIANTS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    architecture: str
    language: str
    variants: _containers.RepeatedScalarFieldContainer[str]
    version: str
    def __init__(self, language: _Optional[str] = ..., version: _Optional[str] = ..., variants: _Optional[_Iterable[str]] = ..., architecture: _Optional[str] = ...) -> None: ...

class RuntimeYAMLInfo(_message.Message):
    __slots__ = ["description", "has_hooks", "language", "language_version", "name", "npm_packages", "pip_packages", "requires_gpu", "version"]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    HAS_HOOKS_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_VERSION_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    NPM_PACKAGES_FIELD_NUMBER: _ClassVar[int]
    PIP_PACKAGES_FIELD_NUMBER: _ClassVar[int]
    REQUIRES_GPU_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    description: str
    has_hooks: bool
    language: str
    language_version: str
    name: str
    npm_packages: _containers.RepeatedScalarFieldContainer[str]
    pip_packages: _containers.RepeatedScalarFieldContainer[str]
    requires_gpu: bool
    version: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., language: _Optional[str] = ..., language_version: _Optional[str] = ..., description: _Optional[str] = ..., pip_packages: _Optional[_Iterable[str]] = ..., npm_packages: _Optional[_Iterable[str]] = ..., has_hooks: bool = ..., requires_gpu: bool = ...) -> None: ...

class ServerVersionInfo(_message.Message):
    __slots__ = ["build_date", "component", "git_commit", "git_tag", "go_version", "platform", "proto_commit", "proto_tag", "version"]
    BUILD_DATE_FIELD_NUMBER: _ClassVar[int]
    COMPONENT_FIELD_NUMBER: _ClassVar[int]
    GIT_COMMIT_FIELD_NUMBER: _ClassVar[int]
    GIT_TAG_FIELD_NUMBER: _ClassVar[int]
    GO_VERSION_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_FIELD_NUMBER: _ClassVar[int]
    PROTO_COMMIT_FIELD_NUMBER: _ClassVar[int]
    PROTO_TAG_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    build_date: str
    component: str
    git_commit: str
    git_tag: str
    go_version: str
    platform: str
    proto_commit: str
    proto_tag: str
    version: str
    def __init__(self, version: _Optional[str] = ..., git_commit: _Optional[str] = ..., git_tag: _Optional[str] = ..., build_date: _Optional[str] = ..., component: _Optional[str] = ..., go_version: _Optional[str] = ..., platform: _Optional[str] = ..., proto_commit: _Optional[str] = ..., proto_tag: _Optional[str] = ...) -> None: ...

class StopJobRequest(_message.Message):
    __slots__ = ["uuid"]
    UUID_FIELD_NUMBER: _ClassVar[int]
    uuid: str
    def __init__(self, uuid: _Optional[str] = ...) -> None: ...

class StopJobResponse(_message.Message):
    __slots__ = ["end_time", "exit_code", "status", "uuid"]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    UUID_FIELD_NUMBER: _ClassVar[int]
    end_time: str
    exit_code: int
    status: str
    uuid: str
    def __init__(self, uuid: _Optional[str] = ..., status: _Optional[str] = ..., end_time: _Optional[str] = ..., exit_code: _Optional[int] = ...) -> None: ...

class StreamJobMetricsRequest(_message.Message):
    __slots__ = ["job_uuid"]
    JOB_UUID_FIELD_NUMBER: _ClassVar[int]
    job_uuid: str
    def __init__(self, job_uuid: _Optional[str] = ...) -> None: ...

class StreamJobTelematicsRequest(_message.Message):
    __slots__ = ["job_uuid", "types"]
    JOB_UUID_FIELD_NUMBER: _ClassVar[int]
    TYPES_FIELD_NUMBER: _ClassVar[int]
    job_uuid: str
    types: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, job_uuid: _Optional[str] = ..., types: _Optional[_Iterable[str]] = ...) -> None: ...

class StreamMetricsRequest(_message.Message):
    __slots__ = ["interval_seconds", "metric_types"]
    INTERVAL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    METRIC_TYPES_FIELD_NUMBER: _ClassVar[int]
    interval_seconds: int
    metric_types: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, interval_seconds: _Optional[int] = ..., metric_types: _Optional[_Iterable[str]] = ...) -> None: ...

class SubmitJobRequest(_message.Message):
    __slots__ = ["data", "end", "file", "job"]
    DATA_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    JOB_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    end: bool
    file: FileUpload
    job: RunJobRequest
    def __init__(self, job: _Optional[_Union[RunJobRequest, _Mapping[str, object]]] = ..., file: _Optional[_Union[FileUpload, _Mapping[str, object]]] = ..., data: _Optional[bytes] = ..., end: bool = ...) -> None: ...

class SystemMetricsResponse(_message.Message):
    __slots__ = ["cloud", "cpu", "disks", "host", "io", "memory", "networks", "processes", "timestamp"]
    CLOUD_FIELD_NUMBER: _ClassVar[int]
    CPU_FIELD_NUMBER: _ClassVar[int]
    DISKS_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    IO_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    NETWORKS_FIELD_NUMBER: _ClassVar[int]
    PROCESSES_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    cloud: CloudInfo
    cpu: CPUMetrics
    disks: _containers.RepeatedCompositeFieldContainer[DiskMetrics]
    host: HostInfo
    io: IOMetrics
    memory: MemoryMetrics
    networks: _containers.RepeatedCompositeFieldContainer[NetworkMetrics]
    processes: ProcessMetrics
    timestamp: str
    def __init__(self, timestamp: _Optional[str] = ..., host: _Optional[_Union[HostInfo, _Mapping[str, object]]] = ..., cpu: _Optional[_Union[CPUMetrics, _Mapping[str, object]]] = ..., memory: _Optional[_Union[MemoryMetrics, _Mapping[str, object]]] = ..., disks: _Optional[_Iterable[_Union[DiskMetrics, _Mapping[str, object]]]] = ..., networks: _Optional[_Iterable[_Union[NetworkMetrics, _Mapping[str, object]]]] = ..., io: _Optional[_Union[IOMetrics, _Mapping[str, object]]] = ..., processes: _Optional[_Union[ProcessMetrics, _Mapping[str, object]]] = ..., cloud: _Optional[_Union[CloudInfo, _Mapping[str, object]]] = ...) -> None: ...

class SystemStatusResponse(_message.Message):
    __slots__ = ["available", "cloud", "cpu", "disks", "host", "io", "memory", "networks", "processes", "server_version", "timestamp"]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    CLOUD_FIELD_NUMBER: _ClassVar[int]
    CPU_FIELD_NUMBER: _ClassVar[int]
    DISKS_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    IO_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    NETWORKS_FIELD_NUMBER: _ClassVar[int]
    PROCESSES_FIELD_NUMBER: _ClassVar[int]
    SERVER_VERSION_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    available: bool
    cloud: CloudInfo
    cpu: CPUMetrics
    disks: _containers.RepeatedCompositeFieldContainer[DiskMetrics]
    host: HostInfo
    io: IOMetrics
    memory: MemoryMetrics
    networks: _containers.RepeatedCompositeFieldContainer[NetworkMetrics]
    processes: ProcessMetrics
    server_version: ServerVersionInfo
    timestamp: str
    def __init__(self, timestamp: _Optional[str] = ..., available: bool = ..., host: _Optional[_Union[HostInfo, _Mapping[str, object]]] = ..., cpu: _Optional[_Union[CPUMetrics, _Mapping[str, object]]] = ..., memory: _Optional[_Union[MemoryMetrics, _Mapping[str, object]]] = ..., disks: _Optional[_Iterable[_Union[DiskMetrics, _Mapping[str, object]]]] = ..., networks: _Optional[_Iterable[_Union[NetworkMetrics, _Mapping[str, object]]]] = ..., io: _Optional[_Union[IOMetrics, _Mapping[str, object]]] = ..., processes: _Optional[_Union[ProcessMetrics, _Mapping[str, object]]] = ..., cloud: _Optional[_Union[CloudInfo, _Mapping[str, object]]] = ..., server_version: _Optional[_Union[ServerVersionInfo, _Mapping[str, object]]] = ...) -> None: ...

class TelematicsAcceptData(_message.Message):
    __slots__ = ["dst_addr", "dst_port", "pid", "protocol", "src_addr", "src_port"]
    DST_ADDR_FIELD_NUMBER: _ClassVar[int]
    DST_PORT_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    SRC_ADDR_FIELD_NUMBER: _ClassVar[int]
    SRC_PORT_FIELD_NUMBER: _ClassVar[int]
    dst_addr: str
    dst_port: int
    pid: int
    protocol: str
    src_addr: str
    src_port: int
    def __init__(self, pid: _Optional[int] = ..., src_addr: _Optional[str] = ..., src_port: _Optional[int] = ..., dst_addr: _Optional[str] = ..., dst_port: _Optional[int] = ..., protocol: _Optional[str] = ...) -> None: ...

class TelematicsConnectData(_message.Message):
    __slots__ = ["dst_addr", "dst_port", "pid", "protocol", "src_addr", "src_port"]
    DST_ADDR_FIELD_NUMBER: _ClassVar[int]
    DST_PORT_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    SRC_ADDR_FIELD_NUMBER: _ClassVar[int]
    SRC_PORT_FIELD_NUMBER: _ClassVar[int]
    dst_addr: str
    dst_port: int
    pid: int
    protocol: str
    src_addr: str
    src_port: int
    def __init__(self, pid: _Optional[int] = ..., dst_addr: _Optional[str] = ..., dst_port: _Optional[int] = ..., protocol: _Optional[str] = ..., src_addr: _Optional[str] = ..., src_port: _Optional[int] = ...) -> None: ...

class TelematicsEvent(_message.Message):
    __slots__ = ["accept", "connect", "exec", "file", "job_uuid", "mmap", "mprotect", "socket_data", "timestamp", "type"]
    ACCEPT_FIELD_NUMBER: _ClassVar[int]
    CONNECT_FIELD_NUMBER: _ClassVar[int]
    EXEC_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    JOB_UUID_FIELD_NUMBER: _ClassVar[int]
    MMAP_FIELD_NUMBER: _ClassVar[int]
    MPROTECT_FIELD_NUMBER: _ClassVar[int]
    SOCKET_DATA_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    accept: TelematicsAcceptData
    connect: TelematicsConnectData
    exec: TelematicsExecData
    file: TelematicsFileData
    job_uuid: str
    mmap: TelematicsMmapData
    mprotect: TelematicsMprotectData
    socket_data: TelematicsSocketDataData
    timestamp: int
    type: str
    def __init__(self, timestamp: _Optional[int] = ..., job_uuid: _Optional[str] = ..., type: _Optional[str] = ..., exec: _Optional[_Union[TelematicsExecData, _Mapping[str, object]]] = ..., connect: _Optional[_Union[TelematicsConnectData, _Mapping[str, object]]] = ..., accept: _Optional[_Union[TelematicsAcceptData, _Mapping[str, object]]] = ..., file: _Optional[_Union[TelematicsFileData, _Mapping[str, object]]] = ..., mmap: _Optional[_Union[TelematicsMmapData, _Mapping[str, object]]] = ..., mprotect: _Optional[_Union[TelematicsMprotectData, _Mapping[str, object]]] = ..., socket_data: _Optional[_Union[TelematicsSocketDataData, _Mapping[str, object]]] = ...) -> None: ...

class TelematicsExecData(_message.Message):
    __slots__ = ["args", "binary", "exit_code", "pid", "ppid"]
    ARGS_FIELD_NUMBER: _ClassVar[int]
    BINARY_FIELD_NUMBER: _ClassVar[int]
    EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    PPID_FIELD_NUMBER: _ClassVar[int]
    args: _containers.RepeatedScalarFieldContainer[str]
    binary: str
    exit_code: int
    pid: int
    ppid: int
    def __init__(self, pid: _Optional[int] = ..., ppid: _Optional[int] = ..., binary: _Optional[str] = ..., args: _Optional[_Iterable[str]] = ..., exit_code: _Optional[int] = ...) -> None: ...

class TelematicsFileData(_message.Message):
    __slots__ = ["bytes", "flags", "operation", "path", "pid"]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    bytes: int
    flags: int
    operation: str
    path: str
    pid: int
    def __init__(self, pid: _Optional[int] = ..., path: _Optional[str] = ..., operation: _Optional[str] = ..., bytes: _Optional[int] = ..., flags: _Optional[int] = ...) -> None: ...

class TelematicsMmapData(_message.Message):
    __slots__ = ["addr", "file_path", "flags", "length", "pid", "prot"]
    ADDR_FIELD_NUMBER: _ClassVar[int]
    FILE_PATH_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    PROT_FIELD_NUMBER: _ClassVar[int]
    addr: int
    file_path: str
    flags: int
    length: int
    pid: int
    prot: int
    def __init__(self, pid: _Optional[int] = ..., addr: _Optional[int] = ..., length: _Optional[int] = ..., prot: _Optional[int] = ..., flags: _Optional[int] = ..., file_path: _Optional[str] = ...) -> None: ...

class TelematicsMprotectData(_message.Message):
    __slots__ = ["addr", "length", "pid", "prot"]
    ADDR_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    PROT_FIELD_NUMBER: _ClassVar[int]
    addr: int
    length: int
    pid: int
    prot: int
    def __init__(self, pid: _Optional[int] = ..., addr: _Optional[int] = ..., length: _Optional[int] = ..., prot: _Optional[int] = ...) -> None: ...

class TelematicsSocketDataData(_message.Message):
    __slots__ = ["bytes", "direction", "dst_addr", "dst_port", "pid", "protocol", "src_addr", "src_port"]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    DST_ADDR_FIELD_NUMBER: _ClassVar[int]
    DST_PORT_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    SRC_ADDR_FIELD_NUMBER: _ClassVar[int]
    SRC_PORT_FIELD_NUMBER: _ClassVar[int]
    bytes: int
    direction: str
    dst_addr: str
    dst_port: int
    pid: int
    protocol: str
    src_addr: str
    src_port: int
    def __init__(self, pid: _Optional[int] = ..., direction: _Optional[str] = ..., dst_addr: _Optional[str] = ..., dst_port: _Optional[int] = ..., src_addr: _Optional[str] = ..., src_port: _Optional[int] = ..., protocol: _Optional[str] = ..., bytes: _Optional[int] = ...) -> None: ...

class TerminalSize(_message.Message):
    __slots__ = ["columns", "rows"]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    columns: int
    rows: int
    def __init__(self, rows: _Optional[int] = ..., columns: _Optional[int] = ...) -> None: ...

class TestRuntimeRequest(_message.Message):
    __slots__ = ["runtime"]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    runtime: str
    def __init__(self, runtime: _Optional[str] = ...) -> None: ...

class TestRuntimeResponse(_message.Message):
    __slots__ = ["error", "exit_code", "output", "success"]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    error: str
    exit_code: int
    output: str
    success: bool
    def __init__(self, success: bool = ..., output: _Optional[str] = ..., error: _Optional[str] = ..., exit_code: _Optional[int] = ...) -> None: ...

class Timestamp(_message.Message):
    __slots__ = ["nanos", "seconds"]
    NANOS_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    nanos: int
    seconds: int
    def __init__(self, seconds: _Optional[int] = ..., nanos: _Optional[int] = ...) -> None: ...

class TopJobsRequest(_message.Message):
    __slots__ = ["interval_seconds", "once"]
    INTERVAL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    ONCE_FIELD_NUMBER: _ClassVar[int]
    interval_seconds: int
    once: bool
    def __init__(self, interval_seconds: _Optional[int] = ..., once: bool = ...) -> None: ...

class TopJobsResponse(_message.Message):
    __slots__ = ["jobs", "omitted", "timestamp"]
    JOBS_FIELD_NUMBER: _ClassVar[int]
    OMITTED_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[RunningJob]
    omitted: int
    timestamp: str
    def __init__(self, timestamp: _Optional[str] = ..., jobs: _Optional[_Iterable[_Union[RunningJob, _Mapping[str, object]]]] = ..., omitted: _Optional[int] = ...) -> None: ...

class UpdateJobRequest(_message.Message):
    __slots__ = ["cpu_cores", "max_cpu", "max_io_bps", "max_memory", "max_runtime_ms", "priority", "uuid"]
    CPU_CORES_FIELD_NUMBER: _ClassVar[int]
    MAX_CPU_FIELD_NUMBER: _ClassVar[int]
    MAX_IO_BPS_FIELD_NUMBER: _ClassVar[int]
    MAX_MEMORY_FIELD_NUMBER: _ClassVar[int]
    MAX_RUNTIME_MS_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    UUID_FIELD_NUMBER: _ClassVar[int]
    cpu_cores: str
    max_cpu: int
    max_io_bps: int
    max_memory: int
    max_runtime_ms: int
    priority: int
    uuid: str
    def __init__(self, uuid: _Optional[str] = ..., max_cpu: _Optional[int] = ..., cpu_cores: _Optional[str] = ..., max_memory: _Optional[int] = ..., max_io_bps: _Optional[int] = ..., max_runtime_ms: _Optional[int] = ..., priority: _Optional[int] = ...) -> None: ...

class UpdateJobResponse(_message.Message):
    __slots__ = ["notices", "status", "uuid"]
    NOTICES_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    UUID_FIELD_NUMBER: _ClassVar[int]
    notices: _containers.RepeatedScalarFieldContainer[str]
    status: str
    uuid: str
    def __init__(self, uuid: _Optional[str] = ..., status: _Optional[str] = ..., notices: _Optional[_Iterable[str]] = ...) -> None: ...

class ValidateRuntimeSpecRequest(_message.Message):
    __slots__ = ["runtimeSpec"]
    RUNTIMESPEC_FIELD_NUMBER: _ClassVar[int]
    runtimeSpec: str
    def __init__(self, runtimeSpec: _Optional[str] = ...) -> None: ...

class ValidateRuntimeSpecResponse(_message.Message):
    __slots__ = ["message", "normalizedSpec", "specInfo", "valid"]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    NORMALIZEDSPEC_FIELD_NUMBER: _ClassVar[int]
    SPECINFO_FIELD_NUMBER: _ClassVar[int]
    VALID_FIELD_NUMBER: _ClassVar[int]
    message: str
    normalizedSpec: str
    specInfo: RuntimeSpecInfo
    valid: bool
    def __init__(self, valid: bool = ..., message: _Optional[str] = ..., normalizedSpec: _Optional[str] = ..., specInfo: _Optional[_Union[RuntimeSpecInfo, _Mapping[str, object]]] = ...) -> None: ...

class ValidateRuntimeYAMLRequest(_message.Message):
    __slots__ = ["yaml_content"]
    YAML_CONTENT_FIELD_NUMBER: _ClassVar[int]
    yaml_content: str
    def __init__(self, yaml_content: _Optional[str] = ...) -> None: ...

class ValidateRuntimeYAMLResponse(_message.Message):
    __slots__ = ["errors", "message", "spec_info", "valid", "warnings"]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    SPEC_INFO_FIELD_NUMBER: _ClassVar[int]
    VALID_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    errors: _containers.RepeatedScalarFieldContainer[str]
    message: str
    spec_info: RuntimeYAMLInfo
    valid: bool
    warnings: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, valid: bool = ..., message: _Optional[str] = ..., errors: _Optional[_Iterable[str]] = ..., warnings: _Optional[_Iterable[str]] = ..., spec_info: _Optional[_Union[RuntimeYAMLInfo, _Mapping[str, object]]] = ...) -> None: ...

class Volume(_message.Message):
    __slots__ = ["created_time", "job_count", "name", "path", "size", "type"]
    CREATED_TIME_FIELD_NUMBER: _ClassVar[int]
    JOB_COUNT_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    created_time: str
    job_count: int
    name: str
    path: str
    size: str
    type: str
    def __init__(self, name: _Optional[str] = ..., size: _Optional[str] = ..., type: _Optional[str] = ..., path: _Optional[str] = ..., created_time: _Optional[str] = ..., job_count: _Optional[int] = ...) -> None: ...

class Volumes(_message.Message):
    __slots__ = ["volumes"]
    VOLUMES_FIELD_NUMBER: _ClassVar[int]
    volumes: _containers.RepeatedCompositeFieldContainer[Volume]
    def __init__(self, volumes: _Optional[_Iterable[_Union[Volume, _Mapping[str, object]]]] = ...) -> None: ...

class WorkflowInfo(_message.Message):
    __slots__ = ["canceledJobs", "completedAt", "completedJobs", "createdAt", "failedJobs", "startedAt", "status", "totalJobs", "uuid", "yamlContent"]
    CANCELEDJOBS_FIELD_NUMBER: _ClassVar[int]
    COMPLETEDAT_FIELD_NUMBER: _ClassVar[int]
    COMPLETEDJOBS_FIELD_NUMBER: _ClassVar[int]
    CREATEDAT_FIELD_NUMBER: _ClassVar[int]
    FAILEDJOBS_FIELD_NUMBER: _ClassVar[int]
    STARTEDAT_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    TOTALJOBS_FIELD_NUMBER: _ClassVar[int]
    UUID_FIELD_NUMBER: _ClassVar[int]
    YAMLCONTENT_FIELD_NUMBER: _ClassVar[int]
    canceledJobs: int
    completedAt: Timestamp
    completedJobs: int
    createdAt: Timestamp
    failedJobs: int
    startedAt: Timestamp
    status: str
    totalJobs: int
    uuid: str
    yamlContent: str
    def __init__(self, uuid: _Optional[str] = ..., status: _Optional[str] = ..., totalJobs: _Optional[int] = ..., completedJobs: _Optional[int] = ..., failedJobs: _Optional[int] = ..., canceledJobs: _Optional[int] = ..., createdAt: _Optional[_Union[Timestamp, _Mapping[str, object]]] = ..., startedAt: _Optional[_Union[Timestamp, _Mapping[str, object]]] = ..., completedAt: _Optional[_Union[Timestamp, _Mapping[str, object]]] = ..., yamlContent: _Optional[str] = ...) -> None: ...

class WorkflowJob(_message.Message):
    __slots__ = ["dependencies", "endTime", "exitCode", "jobName", "jobUuid", "startTime", "status"]
    DEPENDENCIES_FIELD_NUMBER: _ClassVar[int]
    ENDTIME_FIELD_NUMBER: _ClassVar[int]
    EXITCODE_FIELD_NUMBER: _ClassVar[int]
    JOBNAME_FIELD_NUMBER: _ClassVar[int]
    JOBUUID_FIELD_NUMBER: _ClassVar[int]
    STARTTIME_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    dependencies: _containers.RepeatedScalarFieldContainer[str]
    endTime: Timestamp
    exitCode: int
    jobName: str
    jobUuid: str
    startTime: Timestamp
    status: str
    def __init__(self, jobUuid: _Optional[str] = ..., jobName: _Optional[str] = ..., status: _Optional[str] = ..., dependencies: _Optional[_Iterable[str]] = ..., startTime: _Optional[_Union[Timestamp, _Mapping[str, object]]] = ..., endTime: _Optional[_Union[Timestamp, _Mapping[str, object]]] = ..., exitCode: _Optional[int] = ...) -> None: ...

class WriteJobInputRequest(_message.Message):
    __slots__ = ["data", "end", "uuid"]
    DATA_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    UUID_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    end: bool
    uuid: str
    def __init__(self, uuid: _Optional[str] = ..., data: _Optional[bytes] = ..., end: bool = ...) -> None: ...

class WriteJobInputResponse(_message.Message):
    __slots__ = ["written_bytes"]
    WRITTEN_BYTES_FIELD_NUMBER: _ClassVar[int]
    written_bytes: int
    def __init__(self, written_bytes: _Optional[int] = ...) -> None: ...
