#!/usr/bin/env bash
# How fast `convert` makes a raw disk, beside `qemu-img convert` at its best, as ratios from one run.
#
#   contrib/bench/disk.sh [DIR]    DIR: where images are made once and kept (default: a new directory in $TMPDIR)
#
#   TAR=FILE     the root file system to put on the disk instead of the one that mmdebstrap makes (about 600 MB)
#   SCRATCH=DIR  in a new directory of it, raw disks are made (default: /dev/shm; needs room for two)
#   RUNS=N       turns (default 9)      ONLY="zlib zstd …"  some of: zlib zstd plain sync memory
#
# Needs, all from Debian: mmdebstrap (unless TAR is set; wants the network) qemu-utils 7.2 or newer, e2fsprogs, fdisk,
# tar, time. To make the disk: root, for the owners in it.
#
# qemu-img writes with 16 coroutines, out of order (-m 16 -W), into a new file, which it does not sync: its fastest
# way. Ours syncs the file before it gets its name; `sync` measures both on the disk of DIR with that included.
set -euo pipefail
source "$(dirname "$0")/common.sh"
need qemu-img mke2fs sfdisk tar cargo /usr/bin/time

work=$(workplace "${1:-}")
scratch=$(realpath "$(mktemp -d -p "${SCRATCH:-/dev/shm}")")
runs=${RUNS:-9}
only=" ${ONLY:-zlib zstd plain sync memory} "
trap 'rm -rf "$scratch" "$work"/turn.*' EXIT

cargo build --release --quiet --locked
bin=$PWD/target/release/distro-fetch

# A GUID partition table, and one partition with the tree in an ext4 file system.
disk() {
    local tree=$work/tree.part
    rm -rf "$tree" && mkdir "$tree"
    tar -C "$tree" --numeric-owner -xf "$tar"
    truncate -s 2G "$1"
    printf 'label: gpt\nstart=2048, type=L\n' | sfdisk --quiet "$1"
    mke2fs -q -t ext4 -b 4096 -d "$tree" -E offset=1048576,root_owner=0:0 "$1" 2046M
    rm -rf "$tree"
}
image() { qemu-img convert -f raw -O qcow2 "${@:1:$#-1}" "$raw" "${!#}"; }

rootfs
raw=$work/$(stat -c '%s-%Y' "$tar").raw
once "${raw##*/}" disk
for kind in zlib zstd; do
    ! wants "$kind" && ! wants memory || once "$(basename "$raw").$kind.qcow2" image -c -o "compression_type=$kind"
done
once "$(basename "$raw").plain.qcow2" image

echo "machine: $(nproc) cores, $(stat -f -c %T "$scratch") at \$SCRATCH, load $(load); $(qemu-img --version | head -n 1)"
echo "disk: $(($(stat -c %s "$raw") >> 20)) MiB, of which $(($(stat -c %b "$raw") / 2048)) allocated," \
    "made of a tar of $(($(stat -c %s "$tar") / 1000000)) MB; medians of $runs turns"

# Each turn runs both once, into a file that was not there before: a busy moment of a shared machine hits both.
run() {
    rm -f "$out"
    timed "$@"
}
ours() { "$bin" --quiet --progress none convert "$1" -o "$out"; }
theirs() { qemu-img convert -f qcow2 -O raw -m 16 -W "$1" "$out"; }
synced() {
    theirs "$1"
    sync "$out"
}
pair() { # label, goal, image, the other one's name
    local label=$1 goal=$2 image=$3 other=$4
    rm -f "$scratch"/{ours,theirs}.times
    for _ in $(seq "$runs"); do
        run ours ours "$image"
        cmp --quiet "$out" "$raw" || { echo "$label: ours is not the disk" >&2; exit 1; }
        run theirs "$other" "$image"
    done
    printf '%-24s %7s s, qemu-img %7s s: %s times faster (goal: at least %s; load %s)\n' "$label" \
        "$(seconds ours)" "$(seconds theirs)" "$(ratio "$(median theirs)" "$(median ours)")" "$goal" "$(load)"
}
out=$scratch/out.raw
! wants zlib || pair "qcow2, zlib" 2.5 "$raw.zlib.qcow2" theirs
! wants zstd || pair "qcow2, zstd" 1.5 "$raw.zstd.qcow2" theirs
! wants plain || pair "qcow2, uncompressed" 1.0 "$raw.plain.qcow2" theirs
if wants sync; then
    out=$work/turn.raw
    pair "uncompressed, synced" 1.0 "$raw.plain.qcow2" synced
    out=$scratch/out.raw
fi
if wants memory; then
    for kind in zlib zstd plain; do
        rm -f "$out"
        peak=$(/usr/bin/time -f %M "$bin" --quiet --progress none convert "$raw.$kind.qcow2" -o "$out" 2>&1 >/dev/null |
            tail -n 1 | awk '{ printf "%.1f", $1 / 1024 }')
        echo "peak memory, $kind: $peak MiB (goal: at most 64)"
    done
fi
