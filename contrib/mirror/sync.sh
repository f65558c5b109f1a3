#!/usr/bin/env bash
# Brings a mirror into a bucket, in an order in which at each moment what is named is there.
#
#   sync.sh DIR REMOTE      REMOTE as rclone has it: s3:my-bucket, s3:my-bucket/path
#
#   DELETE=yes              removes what the mirror no longer has, last of all
set -euo pipefail

dir=$1 remote=$2

# Sizes are enough: what has a name keeps its bytes, and no object has to be asked for its time.
same=(--size-only --transfers 8 --checkers 16)
for_good=(--header-upload 'Cache-Control: public, max-age=31536000, immutable')
each_time=(--checksum --header-upload 'Cache-Control: no-cache')

# 1. Files at their upstream paths, images, blobs. Records and locks are nobody's business.
rclone copy "$dir" "$remote" "${same[@]}" "${for_good[@]}" \
    --filter '- .*' --filter '- .*/**' \
    --filter '- /streams/**' --filter '- /index.html' --filter '- SHA256SUMS' \
    --filter '- /oci/index.json' --filter '- /oci/oci-layout'

# 2. What says what is in a directory.
rclone copy "$dir" "$remote" "${each_time[@]}" \
    --filter '- .*/**' --filter '+ SHA256SUMS' --filter '+ /oci/oci-layout' --filter '- *'

# 3. The documents: the one with the images before the one that names its products, the page after
# them, and last the mirror's record, by which another machine goes on from the bucket.
for document in oci/index.json streams/v1/images.json streams/v1/index.json index.html \
    .distro-fetch/mirror.json; do
    if [ -e "$dir/$document" ]; then
        rclone copyto "$dir/$document" "$remote/$document" "${each_time[@]}"
    fi
done

# 4. What retention took out: nothing names it any more.
if [ "${DELETE:-no}" = yes ]; then
    rclone sync "$dir" "$remote" "${same[@]}" --filter '- .*' --filter '- .*/**'
fi
