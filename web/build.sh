#!/bin/sh
# Builds the interface in the browser (web/dist), unless it is built of the sources as they are: cargo
# compiles rproxy anew when those files are.
#
#   web/build.sh
#
# Ends with 3 where there is no Node.js that can do it. rproxy is built without the interface then.

set -eu
cd -- "$(dirname -- "$0")"

lacks() {
    echo "web/build.sh: $1: install Node.js 20.19 or later, with npm; without the interface, rproxy works all the same" >&2
    exit 3
}

command -v npm >/dev/null || lacks "there is no npm"
node -e 'const [major, minor] = process.versions.node.split(".").map(Number);
    process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1)' 2>/dev/null ||
    lacks "Node.js is missing or too old"

# npm writes its list of what is installed last.
installed=node_modules/.package-lock.json
if [ ! -e "$installed" ] || [ -n "$(find package-lock.json -newer "$installed")" ]; then
    npm ci
fi
changed=$(find . \( -path ./node_modules -o -path ./dist \) -prune -o -type f -newer dist/index.html -print 2>/dev/null || true)
if [ ! -e dist/index.html ] || [ -n "$changed" ]; then
    npm run build
fi
