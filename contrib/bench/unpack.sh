#!/usr/bin/env bash
# How fast `unpack` and `ensure --as dir` are, beside GNU tar with xz, gzip and zstd, as ratios from one run.
#
#   contrib/bench/unpack.sh [DIR]     DIR: where archives are made once and kept (default: a new directory in $TMPDIR)
#
#   TAR=FILE     a root file system to use instead of the one that mmdebstrap makes
#   SCRATCH=DIR  in a new directory of it, trees are unpacked (default: /dev/shm; needs room for one and a half).
#                Not on ext4: deleting and re-making one large tree there slows every program.
#   RUNS=N       turns (default 7)      ONLY="xz gzip …"  some of: xz multi gzip zstd plain memory ensure
#
# Needs, all from Debian: mmdebstrap (unless TAR is set; wants the network and root or a user namespace)
# xz-utils gzip zstd tar nginx-light curl time. But for mmdebstrap, nothing leaves loopback.
#
# tar is told to keep what `unpack` keeps: --numeric-owner --xattrs --xattrs-include='*'.
set -euo pipefail
source "$(dirname "$0")/common.sh"
need xz gzip zstd tar nginx curl sha256sum /usr/bin/time cargo

work=$(workplace "${1:-}")
scratch=$(realpath "$(mktemp -d -p "${SCRATCH:-/dev/shm}")")
port=${PORT:-18097}
runs=${RUNS:-7}
only=" ${ONLY:-xz multi gzip zstd plain memory ensure} "
cleanup() {
    stop "$scratch"
    rm -rf "$scratch"
}
trap cleanup EXIT

cargo build --release --quiet --locked
bin=$PWD/target/release/distro-fetch

# The archives are made once. pack COMMAND … FILE: what it says goes to FILE.
pack() { "${@:1:$#-1}" >"${!#}"; }
rootfs
# Cached by what they are made of: another TAR makes others. Only those that are asked for: xz takes
# minutes.
name=$(stat -c '%s-%Y' "$tar")
! wants xz memory ensure || once "$name.xz" pack xz -T1 -6 -c "$tar"
! wants multi memory || once "$name.multi.xz" pack xz -T0 -6 --block-size=24MiB -c "$tar"
! wants gzip memory || once "$name.gz" pack gzip -6 -n -c "$tar"
! wants zstd memory || once "$name.zst" pack zstd -q -T0 -9 -c "$tar"

version=$(tar --version | head -n 1)
echo "machine: $(nproc) cores, $(stat -f -c %T "$scratch") at \$SCRATCH, load $(load); $version; $(xz --version | head -n 1)"
echo "tar: $(($(stat -c %s "$tar") / 1000000)) MB, $(tar -tf "$tar" | wc -l) entries; medians of $runs turns"

# Each turn runs every command once, into a directory that was not there before: a busy moment of a
# shared machine hits all of them. Removing the tree is not measured.
run() {
    rm -rf "$scratch"/{tree,cache,download}
    timed "$@"
}
ours() { "$bin" --quiet --progress none unpack "$@" "$scratch/tree"; }
theirs() {
    mkdir "$scratch/tree"
    tar --numeric-owner --xattrs --xattrs-include='*' -C "$scratch/tree" "$@"
}
pair() { # label, goal, format, archive, tar's arguments …
    local label=$1 goal=$2 format=$3 archive=$4
    shift 4
    rm -f "$scratch"/{ours,theirs}.times
    for _ in $(seq "$runs"); do
        run ours ours --from "$format" "$archive"
        run theirs theirs "$@" -xf "$archive"
    done
    printf '%-22s %7s s, tar %-13s %7s s: %s times faster (goal: at least %s; load %s)\n' "$label" \
        "$(seconds ours)" "${*:--x}" "$(seconds theirs)" "$(ratio "$(median theirs)" "$(median ours)")" "$goal" "$(load)"
}
! wants xz || pair ".tar.xz, one block" 1.6 xz "$work/$name.xz" -J
! wants multi || pair ".tar.xz, many blocks" 1.4 xz "$work/$name.multi.xz" -I "xz -T0"
! wants gzip || pair ".tar.gz" 2.5 gzip "$work/$name.gz" -z
! wants zstd || pair ".tar.zst" 1.3 zstd "$work/$name.zst" --zstd
! wants plain || pair ".tar" 1.2 plain "$tar"

if wants memory; then
    peak() {
        rm -rf "$scratch/tree"
        /usr/bin/time -f %M "$bin" --quiet --progress none unpack --from "$1" "$2" "$scratch/tree" \
            2>&1 >/dev/null | tail -n 1 | awk '{ printf "%.1f", $1 / 1024 }'
    }
    echo "peak memory, .tar.xz, one block: $(peak xz "$work/$name.xz") MiB (goal: at most 32)"
    echo "peak memory, .tar.xz, many blocks: $(peak xz "$work/$name.multi.xz") MiB (bounded)"
    echo "peak memory, .tar.gz, .tar.zst, .tar: $(peak gzip "$work/$name.gz")," \
        "$(peak zstd "$work/$name.zst"), $(peak plain "$tar") MiB"
fi

# Cold `ensure --as dir`, which makes all of it durable, beside its two halves, which do not.
if wants ensure; then
    chmod 755 "$scratch" "$work"
    serve "$scratch" "$port" "location /rootfs.tar.xz { alias $work/$name.xz; }"
    url=http://127.0.0.1:$port/rootfs.tar.xz
    sum=$(sha256sum "$work/$name.xz" | cut -d' ' -f1)
    ensure() { "$bin" --quiet --progress none --cache-dir "$scratch/cache" ensure "$url" --sha256 "$sum" "$@"; }
    download() { curl -sS -o "$scratch/download" "$url"; }
    decode() { xz -T1 -dc "$work/$name.xz" >/dev/null; }
    rm -f "$scratch"/{whole,download,decode,ours}.times
    for _ in $(seq "$runs"); do
        run whole ensure --as dir
        run download download
        run decode decode
        run ours ours --from xz "$work/$name.xz"
    done
    halves=$(($(median download) + $(median decode)))
    echo "cold ensure --as dir, .tar.xz of one block: $(seconds whole) s; curl $(seconds download) s, xz -dc $(seconds decode) s"
    echo "  it takes $(ratio "$(median whole)" "$halves") of the time of download and decode alone (goal: at most 1.15; load $(load))"
    # xz's own decoder may be an older and slower one than ours: the stricter yardstick.
    halves=$(($(median download) + $(median ours)))
    echo "  and $(ratio "$(median whole)" "$halves") of download and our own unpack alone, $(seconds ours) s"
fi
