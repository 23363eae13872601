#!/usr/bin/env bash
# Checks the crates that are linked into rproxy: licences, sources, duplicates, advisories; and writes a
# bill of materials. Run it before a release. See docs/supply-chain.md.
#
#   tests/supply-chain.sh [--offline]
#
# --offline leaves the advisories out, which are fetched from their repository. It needs cargo-deny and
# cargo-cyclonedx, and says how to get them; it installs nothing.

set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

main() {
    local checks=(bans licenses sources advisories)
    if [[ ${1-} == --offline ]]; then
        checks=(bans licenses sources)
    elif [[ $# -gt 0 ]]; then
        fail "usage: tests/supply-chain.sh [--offline]"
    fi
    need cargo-deny
    need cargo-cyclonedx
    step cargo deny --locked check "${checks[@]}"
    bill_of_materials
}

# target/rproxy.cdx.json: every crate that the program is built from, its version, licence and checksum.
bill_of_materials() {
    step cargo cyclonedx --format json --spec-version 1.5 --override-filename rproxy.cdx
    mkdir -p target
    mv -f rproxy.cdx.json target/rproxy.cdx.json
    echo "supply-chain.sh: target/rproxy.cdx.json"
}

need() {
    command -v "$1" >/dev/null || fail "$1 is missing: cargo install --locked $1"
}

step() {
    printf '\n== %s\n' "$*"
    "$@"
}

fail() {
    printf 'supply-chain.sh: %s\n' "$*" >&2
    exit 1
}

main "$@"
