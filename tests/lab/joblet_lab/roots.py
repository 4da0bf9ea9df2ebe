"""Base roots (a Debian suite and the packages hosts need) and images (a root with our packages installed)."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from .base import IMAGES, PROJECT, ROOTS, LabError, contained, locked, remove_tree, run, say, step
from .machine import nameservers

SUITES = ("bookworm", "trixie", "forky")  # systemd 252, 257, 262
DEFAULT_SUITE = "trixie"
DEFAULT_DEBS = PROJECT / "build" / "deb"
KEEP_UNUSED_SECONDS = 2 * 3600

# --- what is in a root: the one place to change ------------------------------------------------------------------

SYSTEM_PACKAGES = ("systemd", "systemd-sysv", "dbus", "udev", "procps", "iproute2", "nftables", "ca-certificates")
PRODUCT_DEPENDENCIES = (
    "dnsmasq-base",
    "e2fsprogs",
    "nftables",
    "openssl",
    "python3-aiohttp",
    "python3-click",
    "python3-cryptography",
    "python3-dbus-fast",
    "python3-grpcio",
    "python3-prometheus-client",
    "python3-protobuf",
    "python3-psutil",
    "python3-pyasn1",
    "python3-pyroute2",
    "python3-rich",
    "python3-systemd",
    "python3-yaml",
)
TEST_PACKAGES = ("python3", "python3-pytest", "python3-hypothesis", "strace")
VM_PACKAGES = ("linux-image-cloud-amd64", "initramfs-tools", "zstd", "kmod", "openssh-server")

APT_OPTIONS = {"forky": ('Acquire::Check-Valid-Until "false"',)}  # testing's index is dated a week ahead, at most
DPKG_OPTIONS = (
    "path-exclude=/usr/share/doc/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/man/*",
    # Our own packages are complete. dpkg honours the last rule that matches (dpkg(1), --path-exclude).
    "path-include=/usr/share/doc/joblet*",
    "path-include=/usr/share/doc/rnx*",
    "path-include=/usr/share/man/man*/joblet*",
    "path-include=/usr/share/man/man*/rnx*",
)
# The VM's first root file system finds the disk and nothing else: small is fast to unpack.
INITRAMFS = r"""
mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/usr/share/initramfs-tools/modules.d"
printf 'MODULES=list\nCOMPRESS=zstd\nCOMPRESSLEVEL=3\n' >"$1/etc/initramfs-tools/conf.d/lab"
printf '%s\n' virtio_pci virtio_blk virtio_net ext4 >"$1/usr/share/initramfs-tools/modules.d/lab"
"""
RECIPE_VERSION = 1  # raise it when what is done to a root below changes

# ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recipe:
    """What a base root is made from."""

    suite: str
    vm: bool

    @property
    def packages(self) -> list[str]:
        """Every package the root holds, dependencies aside."""
        vm = VM_PACKAGES if self.vm else ()
        return sorted({*SYSTEM_PACKAGES, *PRODUCT_DEPENDENCIES, *TEST_PACKAGES, *vm})

    @property
    def key(self) -> str:
        """Name of the root's directory: another recipe is another root."""
        parts = [RECIPE_VERSION, self.suite, self.packages, APT_OPTIONS.get(self.suite, ()), DPKG_OPTIONS]
        parts += [INITRAMFS] if self.vm else []
        digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:10]
        return f"{self.suite}{'-vm' if self.vm else ''}-{digest}"

    @property
    def directory(self) -> Path:
        """Where the root is, once built."""
        return ROOTS / self.key


@dataclass(frozen=True)
class Image:
    """Directories that make a host's root file system, topmost first, and the packages of ours they hold."""

    key: str
    layers: tuple[Path, ...]
    debs: tuple[str, ...]


def mirror() -> str:
    """Return this machine's own Debian mirror if it has one."""
    chosen = os.environ.get("JOBLET_LAB_MIRROR", "")
    if not chosen and shutil.which("apt-get"):
        show = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(LABEL)", "Created-By: Packages", "Origin: Debian"]
        targets = [line.split() for line in run(show, check=False).stdout.splitlines()]
        chosen = next((target[0] for target in targets if target[1:] == ["Debian"]), "")
    return chosen.rstrip("/") or "http://deb.debian.org/debian"


def proxies() -> list[str]:
    """Return this machine's apt proxy settings as mmdebstrap options."""
    if not shutil.which("apt-config"):
        return []
    lines = run(["apt-config", "dump"], check=False).stdout.splitlines()
    wanted = [line.rstrip(";") for line in lines if line.startswith("Acquire::") and "::Proxy " in line]
    return [f"--aptopt={line}" for line in wanted if not line.endswith('""')]


def build_root(recipe: Recipe) -> Path:
    """Return the base root of a recipe, built if need be; safe against concurrent calls and interruption."""
    ready = recipe.directory
    if ready.is_dir():
        return ready
    with locked(f"root-{recipe.key}", f"the {recipe.suite} root"):
        if ready.is_dir():
            return ready
        half_made = ROOTS / f".{recipe.key}.new"
        remove_tree(half_made)
        half_made.mkdir(parents=True)
        kind = "VM root" if recipe.vm else "root"
        try:
            started = time.monotonic()
            with step(f"building the {recipe.suite} {kind} (once; about a minute)", announce=True):
                _mmdebstrap(recipe, half_made / "root")
            facts = {"suite": recipe.suite, "packages": recipe.packages, "seconds": round(time.monotonic() - started)}
            (half_made / "recipe.json").write_text(json.dumps(facts, indent=1) + "\n")
            half_made.rename(ready)
        finally:
            remove_tree(half_made)
    return ready


def _mmdebstrap(recipe: Recipe, target: Path) -> None:
    argv = [
        "mmdebstrap",
        "--variant=minbase",
        "--mode=root",
        f"--include={','.join(recipe.packages)}",
        *(f"--dpkgopt={option}" for option in DPKG_OPTIONS),
        *(f"--aptopt={option}" for option in APT_OPTIONS.get(recipe.suite, ())),
        *proxies(),
        *([f"--essential-hook={INITRAMFS}"] if recipe.vm else []),
        recipe.suite,
        str(target),
        mirror(),
    ]
    done = run(contained(argv), check=False)
    if done.returncode == 0:
        return
    lines = done.stdout.splitlines()
    absent = [line.rsplit(" ", 1)[-1] for line in lines if "Unable to locate package" in line]
    if absent:
        raise LabError(
            f"{recipe.suite} has no package {', '.join(absent)}; change the list in tests/lab/joblet_lab/roots.py"
        )
    unreachable = any("Could not resolve" in line or "Failed to fetch" in line for line in lines)
    fix = "check the network or set JOBLET_LAB_MIRROR" if unreachable else "the log above says why"
    raise LabError(f"mmdebstrap {recipe.suite} from {mirror()} failed; {fix}", "\n".join(lines[-15:]))


def build_many(recipes: Sequence[Recipe], program: str) -> None:
    """Build several roots at once, each in a process of its own, so that each can be given up by itself."""
    todo = [recipe for recipe in recipes if not recipe.directory.is_dir()]
    for recipe in recipes:
        if recipe not in todo:
            say(f"{recipe.key}: already built")
    if len(todo) == 1:
        build_root(todo[0])
        return
    children = [
        subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", program, "build", recipe.suite, *(["--vm"] if recipe.vm else [])],
            stdin=subprocess.DEVNULL,
        )
        for recipe in todo
    ]
    failed = [recipe.key for recipe, child in zip(todo, children, strict=True) if child.wait() != 0]
    if failed:
        raise LabError(f"not built: {', '.join(failed)}; the messages above say why")


def find_debs(directory: Path | None, *, wanted: bool) -> tuple[Path, ...]:
    """Return our packages, none when there is nothing to install (and say so)."""
    if not wanted:
        return ()
    where = directory or DEFAULT_DEBS
    found = tuple(sorted(where.glob("*.deb")))
    if found:
        newest: dict[str, Path] = {}
        for path in sorted(found, key=lambda deb: deb.stat().st_mtime):
            newest[path.name.split("_")[0]] = path
        return tuple(sorted(newest.values()))
    if directory:
        raise LabError(f"no .deb in {directory}; build them first or use --no-package")
    say(f"no packages of ours in {where}: booting a plain host (build them with: make deb)")
    return ()


def image_key(recipe: Recipe, debs: Sequence[Path], *, overlay: bool) -> str:
    """Name an image by its root and the contents of our packages."""
    if not debs:
        return f"{recipe.key}-plain"
    digest = hashlib.sha256()
    for deb in debs:
        digest.update(deb.name.encode() + b"\0" + hashlib.sha256(deb.read_bytes()).digest())
    return f"{recipe.key}-{digest.hexdigest()[:10]}{'' if overlay else '-copy'}"


def prune_images(recipe: Recipe, in_use: Collection[str]) -> None:
    """Delete images of older packages that no host, running or in the making, is made of: each build leaves one."""
    for image in IMAGES.glob(f"{recipe.key}-*"):
        used = any(image.name == key or image.name.startswith(f"{key}-disk-") for key in in_use)
        if not used and time.time() - image.stat().st_mtime > KEEP_UNUSED_SECONDS:
            remove_tree(image)


def build_image(recipe: Recipe, debs: Sequence[Path], *, overlay: bool) -> Image:
    """Return a root with our packages: a thin layer over the base root, or a copy where overlayfs is not to be had."""
    base = (build_root(recipe) / "root").resolve()
    names = tuple(deb.name for deb in debs)
    key = image_key(recipe, debs, overlay=overlay)
    if not debs:
        return Image(key, (base,), ())
    ready = IMAGES / key
    image = Image(ready.name, (ready / "root", base) if overlay else (ready / "root",), names)
    if ready.is_dir():
        return image
    with locked(f"image-{ready.name}", "the image"):
        if ready.is_dir():
            return image
        half_made = IMAGES / f".{ready.name}.new"
        remove_tree(half_made)
        for part in ("root", "work", "merged", "debs"):
            (half_made / part).mkdir(parents=True)
        try:
            with step(f"installing {', '.join(names)} into {recipe.suite}"):
                _install(recipe, half_made, debs, overlay=overlay)
            for part in ("work", "merged", "debs"):
                remove_tree(half_made / part)
            half_made.rename(ready)
        finally:
            remove_tree(half_made)
    return image


# Nothing is started while installing: there is no systemd to ask, and what starts anyway dies with the namespace.
INSTALL = """
set -eu
here=$1 base=$2 way=$3; shift 3
cd "$here"
if [ "$way" = overlay ]; then
    mount -t overlay overlay -o "lowerdir=$base,upperdir=$here/root,workdir=$here/work" merged
else
    cp -a --reflink=auto "$base/." root/
    mount --bind root merged
fi
mount -t proc proc merged/proc
mount -t tmpfs tmpfs merged/run
mount -t tmpfs tmpfs merged/mnt
cp debs/* merged/mnt/
export DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8
apt="apt-get install -y -q --no-install-recommends -o Dpkg::Use-Pty=0"
# Without package lists it can only take what is there: it fails when our packages need more than the root has.
if ! chroot merged sh -c "$apt /mnt/*.deb"; then
    echo "LAB: dependencies missing in the base root: fetching them"
    mv merged/etc/resolv.conf merged/run/resolv.conf.image 2>/dev/null || :
    cp debs.resolv merged/etc/resolv.conf
    chroot merged sh -c "apt-get update -q && $apt /mnt/*.deb"
    rm -f merged/etc/resolv.conf
    mv merged/run/resolv.conf.image merged/etc/resolv.conf 2>/dev/null || :
    rm -rf merged/var/lib/apt/lists/*
fi
rm -rf merged/var/cache/apt/*.bin merged/var/cache/apt/archives/*.deb
"""


def _install(recipe: Recipe, here: Path, debs: Sequence[Path], *, overlay: bool) -> None:
    copies = [Path(shutil.copy(deb, here / "debs")) for deb in debs]
    if image_key(recipe, copies, overlay=overlay) != here.name.removeprefix(".").removesuffix(".new"):
        raise LabError(f"the packages in {debs[0].parent} changed while they were being read; try again")
    (here / "debs.resolv").write_text("".join(f"nameserver {address}\n" for address in nameservers()))
    way = "overlay" if overlay else "copy"
    done = run(contained(["sh", "-c", INSTALL, "install", here, recipe.directory / "root", way]), check=False)
    (here / "debs.resolv").unlink()
    (here / "install.log").write_text(done.stdout)
    lines = done.stdout.splitlines()
    if done.returncode != 0:
        raise LabError("our packages do not install; the log above says why", "\n".join(lines[-25:]))
    if any(line.startswith("LAB: ") for line in lines):
        say("our packages need more than the base root has; add it to PRODUCT_DEPENDENCIES in roots.py to save time")
