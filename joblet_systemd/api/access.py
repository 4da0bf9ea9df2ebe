"""Who may call what: the least role for every method of the wire contract. What is not listed is denied."""

from __future__ import annotations

from ..identity import Role

READ, RUN, CREATE, REMOVE = Role.READER, Role.DEVELOPER, Role.MAINTAINER, Role.ADMIN

LEAST_ROLE = {
    "JobService/RunJob": RUN,
    "JobService/SubmitJob": RUN,
    "JobService/UpdateJob": RUN,
    "JobService/DownloadFiles": RUN,
    "JobService/WriteJobInput": RUN,
    "JobService/ExecJob": RUN,
    "JobService/TopJobs": READ,
    "JobService/GetJobStatus": READ,
    "JobService/StopJob": RUN,
    "JobService/CancelJob": RUN,
    "JobService/DeleteJob": RUN,
    "JobService/DeleteAllJobs": RUN,
    "JobService/GetJobLogs": READ,
    "JobService/ListJobs": READ,
    "JobService/StreamJobMetrics": READ,
    "JobService/GetJobMetrics": READ,
    "JobService/StreamJobTelematics": READ,
    "JobService/GetJobTelematics": READ,
    "JobService/RunWorkflow": RUN,
    "JobService/GetWorkflowStatus": READ,
    "JobService/ListWorkflows": READ,
    "JobService/GetWorkflowJobs": READ,
    "NetworkService/CreateNetwork": CREATE,
    "NetworkService/ListNetworks": READ,
    "NetworkService/RemoveNetwork": REMOVE,
    "VolumeService/CreateVolume": CREATE,
    "VolumeService/ListVolumes": READ,
    "VolumeService/RemoveVolume": REMOVE,
    "MonitoringService/GetSystemStatus": READ,
    "MonitoringService/StreamSystemMetrics": READ,
    "RuntimeService/ListRuntimes": READ,
    "RuntimeService/GetRuntimeInfo": READ,
    "RuntimeService/TestRuntime": CREATE,
    "RuntimeService/RemoveRuntime": REMOVE,
    "RuntimeService/BuildRuntime": CREATE,
    "RuntimeService/ValidateRuntimeYAML": READ,
    "RuntimeService/InstallRuntimeFromGithub": CREATE,
    "RuntimeService/InstallRuntimeFromLocal": CREATE,
    "RuntimeService/StreamingInstallRuntimeFromGithub": CREATE,
    "RuntimeService/StreamingInstallRuntimeFromLocal": CREATE,
    "RuntimeService/ValidateRuntimeSpec": READ,
}
