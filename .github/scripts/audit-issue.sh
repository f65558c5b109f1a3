#!/usr/bin/env bash
# Opens, brings up to date or closes the one issue about pins that nobody serves any more.
#
#   audit-issue.sh CODE REPORT      the exit code and the output of `distro-fetch audit --json`
set -euo pipefail

code=$1 report=$2
title='Pins without a living source'
label=audit
# An issue may say 65,536 characters.
max_rows=300
body=$(mktemp) listed=$(mktemp)
trap 'rm -f "$body" "$listed"' EXIT

case $code in
0 | 6) ;;
5)
    echo "::warning::some servers could not be reached: that says nothing about their pins"
    exit 0
    ;;
*)
    echo "::error::the audit ended with code $code" >&2
    exit 1
    ;;
esac

gh issue list --label "$label" --state open --limit 100 --json number,title,body > "$listed"
number=$(jq -r --arg title "$title" 'map(select(.title == $title)) | .[0].number // empty' "$listed")

if [ "$code" = 0 ]; then
    if [ -n "$number" ]; then
        gh issue close "$number" --comment 'Every pin has a living source again.'
    else
        echo "every pin has a living source"
    fi
    exit 0
fi

# Names, snapshots and verdicts have alphabets of their own; what servers said stays in the run.
jq -r --argjson max "$max_rows" '
    def plain: tostring | gsub("[^A-Za-z0-9 .:_+-]"; "");
    map(select(.verdict == "gone" or .verdict == "drifted")) as $lost
    | "\($lost | length) of \(length) pins have no source that serves their bytes.",
      "Whoever has them cached, keeps them: a mirror that still has the bytes can be added to the origin, or",
      "named as an `alternate`; a newer snapshot can be pinned (`cargo refresh --only NAME`); what has ended",
      "can be removed.",
      "",
      "| image | arch | snapshot | SHA-256 | verdict | sources |",
      "|---|---|---|---|---|---|",
      ($lost[:$max][] | "| \(.image | plain) | \(.arch | plain) | `\(.snapshot | plain)` | `\(.sha256[:12] | plain)` | \(.verdict) | "
          + (.sources | group_by(.verdict) | map("\(length) \(.[0].verdict | plain)") | join(", ")) + " |"),
      (if ($lost | length) > $max then "", "And \(($lost | length) - $max) more: see the run." else empty end)
' "$report" > "$body"

if [ -z "$number" ]; then
    labels=$(gh label list --search "$label" --limit 100 --json name | jq -r '.[].name')
    grep -Fxq "$label" <<< "$labels" || gh label create "$label" --description 'Found by the daily audit'
    gh issue create --title "$title" --label "$label" --body-file "$body"
elif jq -e --argjson number "$number" --rawfile body "$body" \
    '.[] | select(.number == $number) | (.body | rtrimstr("\n")) == ($body | rtrimstr("\n"))' "$listed" > /dev/null; then
    echo "issue $number is up to date"
else
    gh issue edit "$number" --body-file "$body"
fi
