#!/bin/bash
# .ci/arm64.sh [FOLDER]: the shipped bundle on x86-64 and on emulated ARM (a Raspberry Pi 5's Cortex-A76), compared;
# then the daemon there, which remembers and answers over a real broker.
#
# FOLDER (default .venv-arm64) keeps an ARM Python of Debian bookworm with the device's packages: 300 MB, made once.
# No chroot, no mounts, no binfmt. Needs: apt install qemu-user-static mmdebstrap mosquitto
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$(realpath -m -- "${1:-.venv-arm64}")
root=$folder/root site=$folder/site recipe=$(sha256sum <.ci/arm64.sh)
PACKAGES=(ai-edge-litert==2.3.0 cattrs 'numpy<3' paho-mqtt pillow psutil pyyaml tokenizers tqdm)
LIBRARIES=python3-minimal,libpython3-stdlib,libstdc++6,libgcc-s1,zlib1g,libffi8,libexpat1,libbz2-1.0,liblzma5,libssl3
LIBRARIES+=,libsqlite3-0,libuuid1,libatomic1

mirror() { # the Debian mirror that this machine itself uses; nothing on another system
    local release
    release=$(. /etc/os-release && if [ "$ID" = debian ]; then echo "$VERSION_CODENAME"; fi)
    # apt reads both formats of its sources; the placeholders are its own.
    # shellcheck disable=SC2016
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
        awk -v release="$release" '$2 == release && $3 == "main" && !found++ { print $1 }'
}

make_root() {
    local uri
    uri=${MIRROR:-$(mirror)}
    [ -n "$uri" ] || { echo "apt knows no Debian mirror on this machine: set MIRROR to one" >&2; exit 1; }
    # Packages are only unpacked, none of their scripts run; in this mode that needs no root.
    mmdebstrap --quiet --mode=chrootless --variant=extract --architectures=arm64 --include="$LIBRARIES" \
        bookworm "$root" "$uri"
    [ -e "$root/lib" ] || ln -s usr/lib "$root/lib"
}

# XNNPACK asks /proc and /sys what the processor can do, and under qemu-user would get the host's answer: on x86-64's
# files ai-edge-litert crashes, without any it runs unaccelerated. These are a Cortex-A76's; they must match -cpu below.
make_processor() {
    local cpus=$root/sys/devices/system/cpu cpu
    mkdir -p "$root/proc" "$cpus"
    tee "$cpus/possible" "$cpus/present" "$cpus/online" <<<"0-1" >/dev/null
    for cpu in 0 1; do
        mkdir -p "$cpus/cpu$cpu/topology" "$cpus/cpu$cpu/cpufreq"
        echo 0 >"$cpus/cpu$cpu/topology/physical_package_id"
        echo "$cpu" >"$cpus/cpu$cpu/topology/core_id"
        echo 0-1 >"$cpus/cpu$cpu/topology/core_siblings_list"
        echo 0-1 >"$cpus/cpu$cpu/topology/cluster_cpus_list"
        echo 2400000 >"$cpus/cpu$cpu/cpufreq/cpuinfo_max_freq"
        cat <<END
processor       : $cpu
BogoMIPS        : 108.00
Features        : fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer : 0x41
CPU architecture: 8
CPU variant     : 0x4
CPU part        : 0xd0b
CPU revision    : 1

END
    done >"$root/proc/cpuinfo"
}

make_site() {
    local platforms=() version
    for version in 2014 _2_17 _2_26 _2_27 _2_28 _2_34; do
        platforms+=(--platform "manylinux${version}_aarch64")
    done
    .venv/bin/python -m pip install -qq --progress-bar off --target "$site" --only-binary=:all: \
        --implementation cp --python-version 3.11 "${platforms[@]}" "${PACKAGES[@]}"
}

# -cpu: qemu's default offers SVE and i8mm, and INT8 kernels then give wrong numbers. env -i: the host's BLAS settings.
make_python() {
    cat >"$folder/python" <<END
#!/bin/bash
exec env -i HOME="$HOME" PYTHONHOME="$root/usr" PYTHONPATH="$site:$PWD" PYTHONNOUSERSITE=1 PYTHONDONTWRITEBYTECODE=1 \\
    qemu-aarch64-static -cpu cortex-a76 -L "$root" "$root/usr/bin/python3.11" "\$@"
END
    chmod +x "$folder/python"
}

{ command -v qemu-aarch64-static && command -v mmdebstrap; } >/dev/null ||
    { echo "qemu or mmdebstrap is missing: sudo apt install qemu-user-static mmdebstrap" >&2; exit 1; }
make --silent .venv/.ready
if [ "$(cat "$folder/recipe" 2>/dev/null)" != "$recipe" ]; then
    echo "making $folder: Python for ARM with the device's packages"
    rm -rf "$root" "$site"
    mkdir -p "$folder"
    make_root
    make_processor
    make_site
    make_python
    echo "$recipe" >"$folder/recipe"
fi
.venv/bin/python tests/system/arm64_smoke.py embed "$folder/here.npz"
"$folder/python" tests/system/arm64_smoke.py embed "$folder/arm64.npz"
.venv/bin/python tests/system/arm64_smoke.py compare "$folder/here.npz" "$folder/arm64.npz"
.venv/bin/python tests/system/arm64_daemon.py "$folder/python"
