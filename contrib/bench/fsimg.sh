#!/usr/bin/env bash
# How fast a container image or a tar becomes the image of a file system, beside others, as ratios from one run.
#
#   contrib/bench/fsimg.sh [DIR]   DIR: where inputs and the others' programs are made once and kept
#                                  (default: a new directory in $TMPDIR)
#
#   TAR=FILE     a root file system to use instead of the one that mmdebstrap makes (about 600 MB)
#   MKFS=FILE    mkfs.erofs 1.7 or newer, which knows --tar (default: the one in $PATH). Debian 13 has it; on Debian 12,
#                `apt-get source erofs-utils` of that one, ./configure --disable-fuse and make
#   SCRATCH=DIR  in a new directory of it, images are made (default: /dev/shm; needs room for four)
#   RUNS=N       turns (default 5)      ONLY="ext4 …"  some of: ext4 erofs layered memory
#
# Needs, all from Debian: mmdebstrap (unless TAR is set; wants the network) umoci e2fsprogs erofs-utils python3 tar gzip
# time and a C compiler, and root. But for mmdebstrap, and cargo when the others are built, nothing leaves this
# machine.
#
# Theirs: oci2rootfs 0.3.0, which keeps no times and no attributes and hashes no layer; `umoci unpack` and our `convert -o
# DIR/`, each with `mke2fs -d`; `mkfs.erofs --tar`, from layers also one for each and one that merges them;
# `load_archive` of microsandbox-image 0.7.13. Before anything is timed, ours are looked at by e2fsck, by fsck.erofs and
# by `digest`.
set -euo pipefail
source "$(dirname "$0")/common.sh"
need umoci mke2fs e2fsck fsck.erofs python3 tar gzip cargo /usr/bin/time
mkfs=$(command -v "${MKFS:-mkfs.erofs}")
"$mkfs" --help 2>&1 | grep -q -- --tar || { echo "$mkfs does not know --tar: see MKFS" >&2; exit 2; }

work=$(workplace "${1:-}")
scratch=$(realpath "$(mktemp -d -p "${SCRATCH:-/dev/shm}")")
runs=${RUNS:-5}
only=" ${ONLY:-ext4 erofs layered memory} "
trap 'chmod -R u+rwX "$scratch"; rm -rf "$scratch"' EXIT

cargo build --release --quiet --locked
bin=$PWD/target/release/distro-fetch

rootfs
pack() { "${@:1:$#-1}" >"${!#}"; }
name=$(stat -c '%s-%Y' "$tar")
image=$work/$name.oci
once "$name.oci" six "$tar"
# The same as one file, and the tree in one tar, compressed or not.
once "$name.oci.tar" pack tar -C "$image" -c .
once "$name.tar.gz" pack gzip -6 -n -c "$tar"

# program DEPENDENCIES DIR: a program that does with one of their libraries what `convert` does, of Rust on standard input.
program() {
    rm -rf "$2" && mkdir -p "$2/src"
    cat >"$2/src/main.rs"
    printf '[package]\nname = "theirs"\nversion = "0.0.0"\nedition = "2024"\n[dependencies]\n%s\n[workspace]\n%s\n' \
        "$1" $'[profile.release]\nlto = "fat"\ncodegen-units = 1\npanic = "abort"' >"$2/Cargo.toml"
    cargo build --release --quiet --manifest-path "$2/Cargo.toml" --target-dir "$2/target"
}
once oci2rootfs program 'oci2rootfs = { version = "=0.3.0", default-features = false }' <<'RUST'
use oci2rootfs::{Converter, OciLayoutSource};
fn main() -> oci2rootfs::Result<()> {
    let words: Vec<String> = std::env::args().collect();
    let size = words[3].parse().expect("a size");
    Converter::new(&words[2]).size(size).convert(OciLayoutSource::open(&words[1])?)
}
RUST
once microsandbox program 'microsandbox-image = "=0.7.13"
tokio = { version = "1", features = ["rt-multi-thread"] }' <<'RUST'
use microsandbox_image::{ImageLoadOptions, load_archive};
fn main() {
    let words: Vec<String> = std::env::args().collect();
    let options = ImageLoadOptions::default();
    let load = load_archive(words[2].as_ref(), words[1].as_ref(), options);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    assert_eq!(runtime.block_on(load).expect("it can be loaded").len(), 1);
}
RUST

out=$scratch/out
# convert SOURCE NAME …: an image in $out, where the cache is, too: it has no layers yet.
convert() {
    local source=$1 name=$2
    shift 2
    "$bin" --quiet --progress none --cache-dir "$out/cache" convert "$source" -o "$out/$name" "$@" >/dev/null
}
# Each program begins with an empty directory.
run() {
    chmod -R u+rwX "$out" 2>/dev/null || true
    rm -rf "$out" && mkdir "$out"
    timed "$@"
}
# against OURS THEIRS GOAL: medians and ratios.
against() {
    printf '%-22s %s s, %-28s %s s: %s times faster, %s of the processor time (goal: at least %s; load %s)\n' \
        "$1" "$(seconds "$1")" "$2" "$(seconds "$2")" "$(ratio "$(median "$2")" "$(median "$1")")" \
        "$(ratio "$(processor "$1")" "$(processor "$2")")" "$3" "$(load)"
}
# expect DIGEST IMAGE: that the image has this tree.
expect() {
    [ "$("$bin" digest "$2")" = "$1" ] || { echo "${2##*/} has another tree" >&2; exit 1; }
}

echo "machine: $(nproc) cores, $(stat -f -c %T "$scratch") at \$SCRATCH, load $(load); $(mke2fs -V 2>&1 | head -n 1); $("$mkfs" --version | head -n 1); $(umoci --version | head -n 1)"
echo "image: 6 layers, $(($(du -sb "$image" | cut -f1) / 1000000)) MB of gzip; tar: $(($(stat -c %s "$tar") / 1000000)) MB, $(tar -tf "$tar" | wc -l) entries; medians of $runs turns"
mkdir "$out"
tree=$("$bin" digest "$image:six")
whole=$("$bin" digest "$tar")

if wants ext4; then
    convert "$image:six" six.ext4
    e2fsck -fn "$out/six.ext4" >/dev/null 2>&1 || { echo "e2fsck finds fault with our image" >&2; exit 1; }
    expect "$tree" "$out/six.ext4"
    size=$(stat -c %s "$out/six.ext4")
    ext4() { convert "$image:six" six.ext4; }
    oci2rootfs() { "$work/oci2rootfs/target/release/theirs" "$image" "$out/six.ext4" "$size"; }
    mke2fs_of() { mke2fs -q -t ext4 -O ^has_journal -d "$1" "$out/six.ext4" "$((size / 1024))k"; }
    umoci_mke2fs() {
        umoci unpack --image "$image:six" "$out/bundle" 2>/dev/null
        mke2fs_of "$out/bundle/rootfs"
    }
    unpack_mke2fs() {
        convert "$image:six" tree/
        mke2fs_of "$out/tree"
    }
    for ((turn = 0; turn < runs; turn++)); do
        run ext4 ext4
        run oci2rootfs oci2rootfs
        run umoci-mke2fs umoci_mke2fs
        run our-unpack-mke2fs unpack_mke2fs
    done
    against ext4 oci2rootfs 1.4
    against ext4 umoci-mke2fs 2.5
    against ext4 our-unpack-mke2fs 2.5
fi

if wants erofs; then
    tar_to() { convert "$1" all.erofs; }
    mkfs_to() { "$mkfs" --quiet "${@:2}" "$out/all.erofs" "$1"; }
    # Layers one by one, and one that merges them: the image needs the others.
    mkfs_layers() {
        local made=() layer
        for layer in "${layers[@]}"; do
            made+=("$out/${#made[@]}.erofs")
            "$mkfs" --quiet --tar=f --gzip --aufs -E noinline_data "${made[-1]}" "$layer"
        done
        "$mkfs" --quiet "$out/all.erofs" "${made[@]}"
    }
    mapfile -t layers < <(python3 - "$image" <<'PYTHON'
import json, sys
def blob(descriptor):
    return f"{sys.argv[1]}/blobs/sha256/{descriptor['digest'][7:]}"
[manifest] = json.load(open(f"{sys.argv[1]}/index.json"))["manifests"]
for layer in json.load(open(blob(manifest)))["layers"]:
    print(blob(layer))
PYTHON
    )
    for source in "$image:six" "$work/$name.tar.gz" "$tar"; do
        rm -f "$out/all.erofs"
        tar_to "$source"
        fsck.erofs "$out/all.erofs" >/dev/null || { echo "fsck.erofs finds fault with our image" >&2; exit 1; }
        if [ "$source" = "$image:six" ]; then expect "$tree" "$out/all.erofs"; else expect "$whole" "$out/all.erofs"; fi
    done
    for ((turn = 0; turn < runs; turn++)); do
        run erofs-of-layers tar_to "$image:six"
        run mkfs.erofs-layers mkfs_layers
        run erofs-of-gzip tar_to "$work/$name.tar.gz"
        run mkfs.erofs-tar-gzip mkfs_to "$work/$name.tar.gz" --tar=f --gzip
        run erofs-of-tar tar_to "$tar"
        run mkfs.erofs-tar mkfs_to "$tar" --tar=f
    done
    against erofs-of-layers mkfs.erofs-tar-gzip 1.8
    against erofs-of-layers mkfs.erofs-layers 1.8
    against erofs-of-gzip mkfs.erofs-tar-gzip 1.8
    against erofs-of-tar mkfs.erofs-tar 1
fi

if wants layered; then
    archive=$work/$name.oci.tar
    convert "$archive" images/ --layered
    meta=$out/images/fsmeta.erofs
    parts=("$out"/images/layer-*.erofs)
    fsck.erofs "${parts[@]/#/--device=}" "$meta" >/dev/null || { echo "fsck.erofs finds fault with fsmeta.erofs" >&2; exit 1; }
    # What the descriptor makes one disk of.
    cat "$meta" "${parts[@]}" >"$out/disk.erofs"
    expect "$tree" "$out/disk.erofs"
    layered() { convert "$archive" images/ --layered; }
    microsandbox() { "$work/microsandbox/target/release/theirs" "$archive" "$out"; }
    for ((turn = 0; turn < runs; turn++)); do
        run layered layered
        run microsandbox microsandbox
        [ -n "$(find "$out" -name '*.vmdk')" ] || { echo "microsandbox made no descriptor" >&2; exit 1; }
    done
    against layered microsandbox 2
fi

# entries COUNT FILE: a tar of so many empty files.
entries() {
    python3 - "$@" <<'PYTHON'
import sys, tarfile
with tarfile.open(sys.argv[2], "w", format=tarfile.USTAR_FORMAT) as tree:
    for n in range(int(sys.argv[1])):
        tree.addfile(tarfile.TarInfo(f"folder-{n // 1000:03}/file-{n % 1000:03}"))
PYTHON
}
if wants memory; then
    most() {
        rm -rf "$out" && mkdir "$out"
        /usr/bin/time -f %M "$bin" --quiet --progress none --cache-dir "$out/cache" \
            convert "$1" -o "$out/$2" "${@:3}" 2>&1 >/dev/null | tail -n 1
    }
    mebibytes() { awk -v k="$1" 'BEGIN { printf "%.1f MiB", k / 1024 }'; }
    printf 'peak memory: ext4 %s, EROFS %s, layered EROFS %s (goal: at most 64)\n' \
        "$(mebibytes "$(most "$image:six" six.ext4)")" "$(mebibytes "$(most "$image:six" six.erofs)")" \
        "$(mebibytes "$(most "$image:six" images/ --layered)")"
    few=20000 many=200000
    for count in $few $many; do entries $count "$scratch/$count.tar"; done
    for form in ext4 erofs; do
        a=$(most "$scratch/$few.tar" "x.$form") b=$(most "$scratch/$many.tar" "x.$form")
        echo "$form: $few entries $(mebibytes "$a"), $many entries $(mebibytes "$b"): $(((b - a) * 1024 / (many - few))) bytes each"
    done
fi
