"""Hosts as virtual machines: a kernel of their own with every cgroup controller; slow where there is no KVM."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import subprocess
import uuid
from pathlib import Path

from . import net
from .base import IMAGES, LAB_DIR, LabError, contained, locked, remove_tree, run, step
from .container import MASKED, PATH, package_files, write_tree
from .host import Host, cgroup_of, in_cgroup, machine_boot
from .machine import kvm_trouble, nameservers
from .roots import Image

CPUS = 2
MEMORY = "2048M"
DISK = "8G"
MACHINE = "q35,sata=off,smbus=off"
KVM_SECONDS = 15  # a kernel that runs on a real processor is through in one or two

# The network needs no more than an address, which the kernel command line brings. The driver is in the initramfs: the
# interface is there before udev, and nothing has to wait for udev's word about it.
NETWORK_UNIT = """\
[Unit]
Description=The lab's link
DefaultDependencies=no
After=systemd-remount-fs.service
Before=network.target network-online.target ssh.service shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/sbin/lab-network

[Install]
WantedBy=multi-user.target
"""
NETWORK_SCRIPT = """\
#!/bin/sh
set -eu
for word in $(cat /proc/cmdline); do
    case $word in
        lab.address=*) address=${word#*=} ;;
        lab.gateway=*) gateway=${word#*=} ;;
        lab.mtu=*) mtu=${word#*=} ;;
        lab.dns=*) dns=${word#*=} ;;
    esac
done
ip link set lo up
ip link set eth0 mtu "$mtu" up
ip address replace "$address" dev eth0
ip route replace default via "$gateway"
echo "$dns" | tr , '\\n' | sed 's/^/nameserver /' >/etc/resolv.conf
"""
# Without PAM no session is made for each command; MaxSessions is for many commands over one connection.
SSHD = "UsePAM no\nUseDNS no\nMaxSessions 200\nMaxStartups 100\nPermitRootLogin prohibit-password\nPrintMotd no\n"
MASKED_IN_VM = (
    "getty@tty1.service",
    "serial-getty@ttyS0.service",
    "e2scrub_reap.service",
    "modprobe@drm.service",
    "modprobe@efi_pstore.service",
    "systemd-binfmt.service",
    "systemd-hwdb-update.service",
    "ldconfig.service",
)
COMMAND_LINE = (
    "root=/dev/vda",
    "rw",
    "console=ttyS0",
    "net.ifnames=0",
    "module_blacklist=kvm,kvm_amd,kvm_intel,powernow_k8,evdev,psmouse,button",
    "fsck.mode=skip",
    "mitigations=off",
    "nowatchdog",
    "audit=0",
    "loglevel=4",
    "random.trust_cpu=on",
    "systemd.unified_cgroup_hierarchy=1",
)

MAKE_DISK = """
set -eu
here=$1 lower=$2 size=$3; shift 3
cd "$here"
if [ -n "$lower" ]; then
    mount -t overlay overlay -o "lowerdir=$lower,upperdir=$here/upper,workdir=$here/work" root
else
    mount --bind "$1" root
fi
tar -C seed -c . | tar -C root -x --no-overwrite-dir --keep-directory-symlink --no-same-owner
: >root/etc/machine-id
rm -f root/etc/hostname
ln -sf ../lab-network.service root/etc/systemd/system/multi-user.target.wants/lab-network.service
# As if everything that systemd updates after a change of /usr were done (systemd-update-done.service(8)).
touch root/etc/.updated root/var/.updated
cp root/boot/vmlinuz-* vmlinuz
cp root/boot/initrd.img-* initrd
rm -f root/boot/vmlinuz-* root/boot/initrd.img-*
mke2fs -q -t ext4 -m 0 -L lab -d root disk.raw "$size"
"""


def build_disk(image: Image, *, overlay: bool) -> Path:
    """Return a directory with a disk, its kernel and a key to log in; made once for an image."""
    seed = _seed()
    digest = hashlib.sha256(json.dumps([seed, MASKED, MASKED_IN_VM, MAKE_DISK, DISK]).encode()).hexdigest()[:8]
    ready = IMAGES / f"{image.key}-disk-{digest}"
    if ready.is_dir():
        return ready
    with locked(f"image-{ready.name}", "the disk"):
        if ready.is_dir():
            return ready
        half_made = IMAGES / f".{ready.name}.new"
        remove_tree(half_made)
        for part in ("root", "upper", "work", "seed"):
            (half_made / part).mkdir(parents=True)
        try:
            with step("making the VM's disk", announce=True):
                run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", half_made / "key"])
                seed["root/.ssh/authorized_keys"] = (half_made / "key.pub").read_text()
                write_tree(half_made / "seed", seed, mask=(*MASKED, *MASKED_IN_VM))
                (half_made / "seed/root").chmod(0o700)
                (half_made / "seed/root/.ssh").chmod(0o700)
                (half_made / "seed/usr/local/sbin/lab-network").chmod(0o755)
                if overlay:
                    layers = [":".join(map(str, image.layers)), DISK]
                else:
                    run(["cp", "-a", "--reflink=auto", f"{image.layers[0]}/.", half_made / "upper"])
                    layers = ["", DISK, str(half_made / "upper")]
                run(contained(["sh", "-c", MAKE_DISK, "make-disk", half_made, *layers]), fix="is the disk full?")
            for part in ("root", "upper", "work", "seed"):
                remove_tree(half_made / part)
            half_made.rename(ready)
        finally:
            remove_tree(half_made)
    return ready


def _seed() -> dict[str, str]:
    return package_files(enforces=True) | {
        "etc/hosts": "127.0.0.1 localhost\n::1 localhost ip6-localhost\n",
        "etc/fstab": "",
        "etc/ssh/sshd_config.d/lab.conf": SSHD,
        "etc/systemd/system/lab-network.service": NETWORK_UNIT,
        "usr/local/sbin/lab-network": NETWORK_SCRIPT,
        "etc/systemd/system-generators/systemd-ssh-generator": "",  # there is no AF_VSOCK to make a socket for
    }


FILES_ONTO_DISK = """
set -eu
mount -o loop "$1" /mnt
tar -C "$2" -c . | tar -C /mnt -x --no-overwrite-dir --keep-directory-symlink --no-same-owner
umount /mnt
"""


def boot(host: Host, image: Image, files: Path | None, *, overlay: bool) -> None:
    """Start the virtual machine; returns when its processor runs."""
    base = build_disk(image, overlay=overlay)
    host.directory.joinpath("base").symlink_to(base)
    if files is None:
        disk, form = host.directory / "disk.qcow2", "qcow2"
        run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", base / "disk.raw", "-F", "raw", disk])
    else:
        disk, form = host.directory / "disk.raw", "raw"
        run(["cp", "--sparse=always", base / "disk.raw", disk])
        run(contained(["sh", "-c", FILES_ONTO_DISK, "files", disk, files]))
    in_host = in_cgroup(host.name, [])
    network = net.connect(host.ident, None)
    host.address, host.gateway = network.address, network.gateway
    trouble = _why_no_kvm(base)
    host.acceleration = f"without KVM ({trouble})" if trouble else "KVM"
    host.save()
    command_line = [
        *COMMAND_LINE,
        f"systemd.hostname={host.name}",
        f"systemd.machine_id={uuid.uuid4().hex}",
        f"lab.address={network.address}/{network.prefix}",
        f"lab.gateway={network.gateway}",
        f"lab.mtu={net.outer_mtu()}",
        f"lab.dns={','.join(nameservers())}",
    ]
    mac = ":".join(["52:54", *(host.ident[i : i + 2] for i in range(0, 8, 2))])
    qemu = [
        "qemu-system-x86_64",
        *("-accel", "tcg,thread=multi" if trouble else "kvm"),
        *("-cpu", "Nehalem" if trouble else "host"),
        *("-machine", MACHINE, "-smp", str(CPUS), "-m", MEMORY),
        *("-nodefaults", "-no-user-config", "-display", "none"),
        *("-chardev", f"file,id=console,path={host.console},append=on", "-serial", "chardev:console"),
        *("-kernel", str(base / "vmlinuz"), "-initrd", str(base / "initrd"), "-append", " ".join(command_line)),
        *("-drive", f"file={disk},format={form},if=virtio,cache=unsafe,discard=unmap"),
        *("-netdev", f"tap,id=net,ifname={net.link_name(host.ident)},script=no,downscript=no"),
        *("-device", f"virtio-net-pci,netdev=net,mac={mac},romfile="),
        *("-device", "virtio-rng-pci"),
    ]
    with host.console.open("ab") as console:
        process = subprocess.Popen(
            [*in_host, *qemu],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            env={"PATH": f"{PATH}:{os.environ.get('PATH', '')}"},
            cwd="/",
            start_new_session=True,
        )
    host.started(process.pid)
    # The process outlives this program; nobody waits for it here.
    process.returncode = 0


def _why_no_kvm(base: Path) -> str:
    """Why KVM is of no use here, or nothing. Asked once per boot of the machine, for the answer takes a while.

    A machine can offer /dev/kvm, even make a virtual machine, and yet be unable to run a kernel in it (or only in an
    emulator slower than qemu's own), as where virtualisation is nested. So it is tried: how far does a kernel come?
    """
    if os.environ.get("JOBLET_LAB_NO_KVM"):
        return "JOBLET_LAB_NO_KVM is set"
    trouble = kvm_trouble()
    if trouble:
        return trouble
    verdict = LAB_DIR / "kvm.json"
    with locked("kvm", "the test of KVM"):
        try:
            known = json.loads(verdict.read_text())
            if known["machine_boot"] == machine_boot():
                return str(known["trouble"])
        except (OSError, ValueError, KeyError):
            pass
        with step("trying whether KVM runs a kernel"):
            trouble = "" if _kvm_runs_kernel(base) else "/dev/kvm is there, but a kernel does not get far in it"
        verdict.write_text(json.dumps({"machine_boot": machine_boot(), "trouble": trouble}) + "\n")
    return trouble


def _kvm_runs_kernel(base: Path) -> bool:
    qemu = [
        *("setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", "-accel", "kvm", "-cpu", "host"),
        *("-machine", MACHINE, "-smp", str(CPUS), "-m", "512M", "-nodefaults", "-no-user-config", "-display", "none"),
        *("-no-reboot", "-serial", "stdio", "-kernel", str(base / "vmlinuz")),
        *("-append", "console=ttyS0 panic=-1"),  # without a root it ends in a panic, which is far enough
    ]
    try:
        tried = subprocess.run(qemu, stdin=subprocess.DEVNULL, capture_output=True, timeout=KVM_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return False
    return b"Kernel panic" in tried.stdout


def panicked(host: Host) -> bool:
    """Whether the kernel gave up, or its first root file system did."""
    try:
        end = host.console.read_bytes()[-8192:]
    except OSError:
        return False
    return b"end Kernel panic" in end or b"(initramfs)" in end


# --- commands ----------------------------------------------------------------------------------------------------


def _ssh(host: Host, *options: str) -> list[str]:
    settings = {
        "BatchMode": "yes",
        "ConnectTimeout": "10",
        "ControlPath": f"/run/joblet-lab-{host.ident}.ssh",
        "LogLevel": "ERROR",
        "StrictHostKeyChecking": "no",
        "UserKnownHostsFile": "/dev/null",
    }
    words = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
    return ["ssh", "-F", "/dev/null", "-i", str(host.directory / "base/key"), *words, *options, f"root@{host.address}"]


def answers(host: Host) -> bool:
    """Make the connection that all commands share, unless it is there; False when the host does not answer."""
    if run(_ssh(host, "-O", "check"), check=False).returncode == 0:
        return True
    # In the host's cgroup, so that it ends with the host.
    join = ["sh", "-c", 'echo 0 >"$0"; exec "$@"', str(cgroup_of(host.name) / "cgroup.procs")]
    connect = [*join, *_ssh(host, "-M", "-N", "-f", "-o", "ControlPersist=yes", "-o", "ServerAliveInterval=15")]
    quiet = subprocess.DEVNULL  # the connection stays open in the background, and so would its output
    return subprocess.run(connect, stdin=quiet, stdout=quiet, stderr=quiet, check=False).returncode == 0


def exec_argv(host: Host, argv: list[str], *, tty: bool = False) -> list[str]:
    """Return the command that runs `argv` as root inside, in the same environment as in a container."""
    if not answers(host):
        raise LabError(f"host {host.name} does not answer (rebooting?); see: lab console {host.name}")
    environment = [f"PATH={PATH}", "HOME=/root", "USER=root", "LOGNAME=root", "SHELL=/bin/bash", "LANG=C.UTF-8"]
    environment.append(f"TERM={os.environ.get('TERM', 'dumb')}")
    remote = shlex.join(["env", "-i", "-C", "/root", *environment, *argv])
    # The shell stays, so that a command ended by a signal is reported as 128 and its number, as in a container.
    return [*_ssh(host, "-tt" if tty else "-T"), f"umask 022; {remote}; exit $?"]
