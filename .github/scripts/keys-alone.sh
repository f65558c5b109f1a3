#!/bin/sh
# A change of the pinned keys never comes with a change of the catalog: a new key and what it
# vouches for must not be believed in one step.
#
#   keys-alone.sh BASE      the commit that HEAD would be merged into
set -eu

changed() {
    # Without renames: a file that is moved away is a change of where it was.
    git diff --name-only --no-renames "$1" HEAD -- "$2"
}
keys=$(changed "$1" contrib/refresh/keys/)
catalog=$(changed "$1" catalog.json)
if [ -n "$keys" ] && [ -n "$catalog" ]; then
    echo "::error::the pinned keys and catalog.json change together: make two pull requests of it"
    printf '%s\n' "$keys" "$catalog"
    exit 1
fi
echo "keys: $([ -n "$keys" ] && echo changed || echo unchanged), catalog.json: $([ -n "$catalog" ] && echo changed || echo unchanged)"
