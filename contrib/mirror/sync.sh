#!/usr/bin/env bash
# Brings a mirror into a bucket, so that at each moment what is named is there.
#
#   sync.sh DIR REMOTE      REMOTE as rclone has it: s3:my-bucket, s3:my-bucket/path
#
#   DELETE=yes              removes what the mirror no longer has, last of all
set -euo pipefail

dir=$1 remote=$2

hidden=(--exclude '.*' --exclude '.*/**')
# rclone compares times and sizes: a mirror's times are those of the snapshots and never change.
common=(--transfers 8 --checkers 16 --fast-list)
for_good='Cache-Control: public, max-age=31536000, immutable'
each_time='Cache-Control: no-cache'

# 1. Files. They never change under their names: one that is there is not sent again.
rclone copy "$dir" "$remote" "${common[@]}" --immutable "${hidden[@]}" \
    --exclude '/streams/**' --exclude '/index.html' --exclude 'SHA256SUMS' \
    --exclude '/oci/index.json' --exclude '/oci/oci-layout' \
    --header-upload "$for_good"

# 2. What says what the files are.
rclone copy "$dir" "$remote" "${common[@]}" --checksum --header-upload "$each_time" \
    --include 'SHA256SUMS' --include '/oci/oci-layout'
if [ -e "$dir/oci/index.json" ]; then
    rclone copyto "$dir/oci/index.json" "$remote/oci/index.json" --checksum --header-upload "$each_time"
fi

# 3. The index: the document with the images before the one that names its products.
for document in streams/v1/images.json streams/v1/index.json index.html; do
    rclone copyto "$dir/$document" "$remote/$document" --checksum --header-upload "$each_time"
done

# 4. What retention took out: by now nothing names it.
if [ "${DELETE:-no}" = yes ]; then
    rclone sync "$dir" "$remote" "${common[@]}" "${hidden[@]}" --size-only --max-transfer 0 \
        --cutoff-mode soft || [ $? -eq 8 ]
fi
