#!/usr/bin/env bash
# Opens, or brings up to date, the one draft pull request of the refresher.
#
#   propose.sh DIR      DIR: catalog.json, summary.md and subject.txt of a run
#
# Works in a clean checkout of the commit that the run began with. Run twice, it does nothing the
# second time. What lies in DIR is data: of the catalog, only pins may differ; of the texts,
# nothing is ever run.
#
#   BASE, BRANCH          where from and where to (main, refresh/catalog)
#   GH_TOKEN, TOKEN_KIND  who is asking: app, personal, or workflow
set -euo pipefail

dir=$(realpath "$1")
base=${BASE:-main}
branch=${BRANCH:-refresh/catalog}
name='github-actions[bot]'
email='41898282+github-actions[bot]@users.noreply.github.com'
# A pull request may say 65,536 characters.
max_body=60000
max_catalog=$((16 << 20))
body=$(mktemp) listed=$(mktemp)
trap 'rm -f "$body" "$listed"' EXIT

die() {
    echo "::error::$1" >&2
    exit 1
}

# --- what the run left -------------------------------------------------------------------------

for file in catalog.json summary.md subject.txt; do
    [ -f "$dir/$file" ] && [ ! -L "$dir/$file" ] || die "$file is missing, or no file"
done
[ "$(stat -c %s "$dir/catalog.json")" -le "$max_catalog" ] || die "catalog.json is too large"
[ -z "$(git status --porcelain)" ] || die "the checkout is not clean"
# People write everything else of a catalog; the refresher writes pins.
others() { jq -S '.images[]? |= del(.pins)' "$1"; }
others "$dir/catalog.json" > "$body" || die "catalog.json is no JSON"
others catalog.json | cmp -s - "$body" || die "more than pins has changed in catalog.json"

title=$(head -n 1 "$dir/subject.txt")
[[ $title == 'catalog: '* && $title != *[[:cntrl:]]* && ${#title} -le 200 ]] ||
    die "the subject is not one line about the catalog"
if [ "$(stat -c %s "$dir/summary.md")" -le "$max_body" ]; then
    cp "$dir/summary.md" "$body"
else
    # Whole lines; then the last one is whole UTF-8 as well.
    head -c "$max_body" "$dir/summary.md" | sed '$d' > "$body"
    printf '\n</details>\n\nCut here: the whole summary is with the run of the workflow.\n' >> "$body"
fi

# --- the branch --------------------------------------------------------------------------------

git checkout --quiet --detach
cp "$dir/catalog.json" catalog.json
[ -n "$(git status --porcelain)" ] || {
    echo "nothing has changed"
    exit 0
}
[ "$(git status --porcelain)" = ' M catalog.json' ] || die "something else than catalog.json has changed"
git add catalog.json
git -c user.name="$name" -c user.email="$email" commit --quiet -m "$title"

# Whether a commit proposes the same: all else alike, and the pins, whenever they were made. A
# review of it need not be done again.
says_the_same() {
    local pins='del(.images[]?.pins[]?.bumped_at)'
    git diff --quiet "$1" HEAD -- . ':(exclude)catalog.json' &&
        [ "$(git show "$1:catalog.json" | jq -S "$pins")" = "$(jq -S "$pins" catalog.json)" ]
}
# The token comes from GH_TOKEN at the moment that it is asked for, and lies in no file.
remote() { git -c credential.helper= -c credential.helper='!gh auth git-credential' "$@"; }

tip() { remote ls-remote origin "refs/heads/$1" | cut -f 1; }

old=$(tip "$branch")
if [ -n "$old" ]; then
    ours=$(tip "$base")
    remote fetch --quiet origin "$old" "$ours"
    # A branch that somebody has worked on is theirs. What the button "Update branch" makes is not.
    strangers=$(git log --format=%ce "$old" --not HEAD^ "$ours" | grep -Fxv -e "$email" -e noreply@github.com || true)
    [ -z "$strangers" ] || die "$branch has commits of others: merge it, or delete it"
fi
if [ -n "$old" ] && says_the_same "$old"; then
    echo "$branch says the same already"
else
    remote push --quiet --force-with-lease="refs/heads/$branch:$old" origin "HEAD:refs/heads/$branch"
    echo "$branch is at $(git rev-parse --short HEAD)"
fi

# --- the pull request --------------------------------------------------------------------------

# A branch of a fork may have the same name: that is somebody else's pull request.
gh pr list --head "$branch" --base "$base" --state open --json number,title,body,isCrossRepository > "$listed"
number=$(jq -r 'map(select(.isCrossRepository == false)) | .[0].number // empty' "$listed")
if [ -z "$number" ]; then
    gh pr create --draft --head "$branch" --base "$base" --title "$title" --body-file "$body"
elif jq -e --argjson number "$number" --arg title "$title" --rawfile body "$body" \
    '.[] | select(.number == $number) | .title == $title and (.body | rtrimstr("\n")) == ($body | rtrimstr("\n"))' \
    "$listed" > /dev/null; then
    echo "pull request $number is up to date"
else
    # Not `gh pr edit`: that wants to read projects, too.
    gh api --method PATCH "repos/{owner}/{repo}/pulls/$number" --raw-field "title=$title" \
        --field "body=@$body" --silent
    echo "pull request $number is brought up to date"
fi

if [ "${TOKEN_KIND:-workflow}" = workflow ]; then
    echo "::warning::made with the workflow's own token: its checks do not start by themselves, see \"The scheduled run\" in contrib/refresh/README.md"
fi
