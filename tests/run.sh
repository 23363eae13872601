#!/usr/bin/env bash
# Everything that the tests need, then all of them.
#
# Works as root and as an ordinary user, on Debian, Ubuntu and Fedora with a Rust toolchain. What is
# missing is installed with apt-get or dnf when that is possible without a question; otherwise the
# package is named. At the end stands which tests were skipped, and why.

set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

asciinema_version=3.2.0
player_build=

main() {
    PATH=$PATH:/usr/sbin:/usr/local/sbin:$HOME/.cargo/bin
    export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-auto}
    if [[ ${CI-} == true ]]; then
        export RPROXY_TEST_INTEROP=${RPROXY_TEST_INTEROP:-all}
    fi
    # Where the tests write what they skip.
    RPROXY_TEST_SKIPPED=$(mktemp)
    export RPROXY_TEST_SKIPPED
    trap at_the_end EXIT
    packages "${programs[@]}"
    command -v cargo >/dev/null || fail "cargo is missing: install a Rust toolchain, see https://rustup.rs"
    # What it needs is the processor; what comes next waits for the network most of the time.
    player
    database
    others
    interface
    player_is_there

    step cargo fmt --check
    if command -v shellcheck >/dev/null; then
        step shellcheck benches/*.sh contrib/*.sh src/cli/nodes/join.sh tests/*.sh tests/docker/*.sh web/*.sh .ci/run
    else
        echo "shellcheck: it is not installed" >>"$RPROXY_TEST_SKIPPED"
    fi
    step cargo clippy --locked --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" step cargo doc --locked --no-deps --document-private-items
    step cargo test --locked --no-run
    # The program of the tests: a build without their dependencies would compile most crates once more.
    RPROXY_DEMO_PROGRAM=${CARGO_TARGET_DIR:-$PWD/target}/debug/rproxy step contrib/demo.sh --once
    # Many tests wait for time limits: more of them run at once than there are processors.
    export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$((2 * $(nproc)))}
    step cargo test --locked --no-fail-fast
    echo "run.sh: pictures of the interface are in ${CARGO_TARGET_DIR:-target}/tmp/browser"
    # The core again, with a user who signs in where the user otherwise has a certificate.
    export RPROXY_TEST_SIGNED_IN=1
    step cargo test --locked --no-fail-fast --test e2e -- "${signed_in[@]}"
    # Once more, with the state in PostgreSQL.
    RPROXY_TEST_POSTGRES=1 step cargo test --locked --no-fail-fast --test e2e -- "${signed_in[@]}"
    unset RPROXY_TEST_SIGNED_IN
    # The core with hosts that have joined, and are reached through tunnels.
    RPROXY_TEST_TUNNELLED=1 step cargo test --locked --no-fail-fast --test e2e -- "${tunnelled[@]}"
    releases
}

# The tests that run with a user who signs in too.
signed_in=(exec:: forwards:: jump:: multiplex:: permit:: pty:: sftp:: threats::)
# Those that run with hosts behind tunnels too.
tunnelled=(exact:: exec:: forwards:: jump:: nothing_lost:: pty:: sftp:: stalls::)

# --- what must be there ---------------------------------------------------------------------------

# program, Debian's package, Fedora's package
programs=(
    "cc gcc gcc"
    "sshd openssh-server openssh-server"
    "ssh openssh-client openssh-clients"
    "sftp openssh-client openssh-clients"
    "ssh-agent openssh-client openssh-clients"
    "ssh-keygen openssh-client openssh"
    "zstd zstd zstd"
    "vim vim vim-enhanced"
    "rsync rsync rsync"
    "git git git"
    "curl curl curl"
    "jq jq jq"
    "softhsm2-util softhsm2 softhsm"
    "pkcs11-tool opensc opensc"
    "openssl openssl openssl"
    "ip iproute2 iproute"
)

# The tests start a server of their own, wherever its programs are: Debian has them in no directory of
# PATH, and starts a server as it installs them, which no test wants.
database() {
    local debian=/usr/lib/postgresql config=/etc/postgresql-common
    if command -v initdb >/dev/null || compgen -G "$debian/*/bin/initdb" >/dev/null; then
        return
    fi
    if command -v apt-get >/dev/null && [[ ! -e $config/createcluster.conf ]]; then
        local as_root=()
        if [[ $EUID -ne 0 ]]; then
            sudo -n true 2>/dev/null || fail "please install: postgresql"
            as_root=(sudo -n)
        fi
        "${as_root[@]}" mkdir -p "$config"
        "${as_root[@]}" tee "$config/createcluster.conf" >/dev/null <<<"create_main_cluster = false"
    fi
    packages "initdb postgresql postgresql-server"
}

# Programs of others: where one is missing, its tests are skipped. RPROXY_TEST_INTEROP=all, and CI=true,
# install them all, and make it a failure that one is missing.
interop_programs=(
    "dbclient dropbear-bin dropbear"
    "borg borgbackup borgbackup"
    "busybox busybox busybox"
    "chromium chromium chromium"
    "dash dash dash"
    "debootstrap debootstrap debootstrap"
    "fish fish fish"
    "fusermount3 fuse3 fuse3"
    "dbus-run-session dbus dbus-daemon"
    "git-annex git-annex git-annex"
    "gnome-keyring-daemon gnome-keyring gnome-keyring"
    "go golang-go golang"
    "gpg gpg gnupg2"
    "gpg-agent gpg-agent gnupg2"
    "lftp lftp lftp"
    "mandoc mandoc mandoc"
    "mosh mosh mosh"
    "node nodejs nodejs"
    "npm npm npm"
    "plink putty-tools putty"
    "rpmbuild rpm rpm-build"
    "shellcheck shellcheck ShellCheck"
    "sshfs sshfs fuse-sshfs"
    "tinysshd tinysshd tinysshd"
    "xauth xauth xorg-x11-xauth"
    "patchelf patchelf patchelf"
    "restic restic restic"
    "unison unison unison"
    "make make make"
    "/usr/include/libssh/server.h libssh-dev libssh-devel"
    "/usr/include/openssl/evp.h libssl-dev openssl-devel"
    "/usr/share/gocode/src/golang.org/x/crypto/ssh/server.go golang-golang-x-crypto-dev golang-x-crypto-devel"
    "zsh zsh zsh"
)
modules=(ansible-core asyncssh mitogen paramiko)

others() {
    if [[ ${RPROXY_TEST_INTEROP-} != all ]]; then
        return
    fi
    packages "${interop_programs[@]}"
    if [[ ! -d target/tools/node/node_modules/ssh2 ]]; then
        step npm install --silent --no-audit --no-fund --ignore-scripts --omit=optional --prefix target/tools/node ssh2
    fi
    # The identity provider of the tests.
    if [[ ! -d target/tools/oidc-provider/node_modules/oidc-provider ]]; then
        step npm install --silent --no-audit --no-fund --ignore-scripts --omit=optional --prefix target/tools/oidc-provider oidc-provider
    fi
    # Younger than the package of some distributions: --sftp-ssh.
    if ! rclone help flags 2>/dev/null | grep -q sftp-ssh; then
        step tests/openssh.sh sid target/tools/rclone rclone
    fi
    # Its security key in software; others than Debian's do without.
    if command -v apt-get >/dev/null && ! tests/openssh.sh --sk-dummy trixie target/tools/sk-dummy; then
        fail "no sk-dummy of OpenSSH"
    fi
    # Whole hosts; others than root do without.
    if command -v apt-get >/dev/null && [[ $EUID -eq 0 ]]; then
        for suite in bookworm sid; do
            step tests/openssh.sh --host "$suite" "target/tools/hosts/$suite"
        done
        # One that Ansible can manage: its modules need Python on the host.
        step tests/openssh.sh --host bookworm target/tools/hosts/python python3
    fi
    if [[ ! -x target/tools/python/bin/ansible-playbook ]] ||
        ! target/tools/python/bin/python -c 'import mitogen' 2>/dev/null; then
        step python3 -m venv target/tools/python
        step target/tools/python/bin/pip install --quiet "${modules[@]}"
    fi
}

packages() {
    local line program debian fedora missing=()
    for line in "$@"; do
        read -r program debian fedora <<<"$line"
        if command -v "$program" >/dev/null || [[ -e $program ]]; then
            continue
        fi
        if command -v apt-get >/dev/null; then
            missing+=("$debian")
        else
            missing+=("$fedora")
        fi
    done
    if [[ ${#missing[@]} -eq 0 ]]; then
        return
    fi
    echo "run.sh: this machine lacks: ${missing[*]}"
    local as_root=()
    if [[ $EUID -ne 0 ]]; then
        sudo -n true 2>/dev/null || fail "please install: ${missing[*]}"
        as_root=(sudo -n)
    fi
    if command -v apt-get >/dev/null; then
        step "${as_root[@]}" apt-get update
        step "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y --no-install-recommends "${missing[@]}"
    elif command -v dnf >/dev/null; then
        step "${as_root[@]}" dnf install -y "${missing[@]}"
    else
        fail "please install: ${missing[*]}"
    fi
}

# Stock asciinema 3 is what plays recordings without us; no distribution ships it yet.
player() {
    if [[ -n ${RPROXY_TEST_ASCIINEMA-} || -x target/tools/bin/asciinema ]]; then
        return
    fi
    if command -v asciinema >/dev/null && [[ $(asciinema --version) == "asciinema 3."* ]]; then
        RPROXY_TEST_ASCIINEMA=$(command -v asciinema)
        export RPROXY_TEST_ASCIINEMA
        return
    fi
    # unoptimised and without what debuggers want: it plays a few lines
    CARGO_PROFILE_DEV_DEBUG=0 step exec cargo install --quiet --debug --locked --version "$asciinema_version" \
        --root target/tools --target-dir target/tools/build asciinema &
    player_build=$!
}

# Waits for it, if it is being built.
player_is_there() {
    if [[ -n $player_build ]]; then
        wait "$player_build" || fail "asciinema $asciinema_version cannot be built"
        player_build=
        rm -rf target/tools/build
    fi
}

# The interface in the browser, before cargo looks whether it is there, and the tests of its rules.
interface() {
    local code=0
    step web/build.sh || code=$?
    case $code in
    0) step npm --prefix web test ;;
    3)
        if [[ ${RPROXY_TEST_INTEROP-} == all ]]; then
            fail "the interface in the browser was not built"
        fi
        echo "the interface in the browser: there is no Node.js that builds it" >>"$RPROXY_TEST_SKIPPED"
        ;;
    *) fail "the interface in the browser cannot be built" ;;
    esac
}

# --- other releases of OpenSSH ----------------------------------------------------------------------

# What has to work with every release: sessions, terminals, files, forwards, agents, key exchanges.
core=(
    confined:: exec:: forwards:: identity:: jump:: multiplex:: permit::a_ pty:: recording:: refusal:: revocation:: sftp::
    webauthn:: interop_programs::security_keys
    interop_clients::ssh_ interop_servers::keys_change_all_the_time interop_servers::sshd_
)
# Newer agents keep no certificate that has expired, and newer clients name other keys first: these tests
# are about what such a client shows to the proxy.
not_core=(
    --skip refusal::client::a_key_without_a_certificate_on_the_inner_connection
    --skip refusal::client::an_expired_certificate
    --skip refusal::client::keys_that_were_passed_over_are_not_told_of_when_a_login_succeeds
)
# What reads what its programs print.
readers=(doctor::nodes fleet::)

# The newest release in all combinations with the system's, which everything above was run with; others of
# which hosts still run many, in both roles.
releases() {
    local suite role
    for suite in sid trixie bullseye; do
        if ! tests/openssh.sh "$suite" "target/tools/openssh/$suite"; then
            if [[ ${RPROXY_TEST_INTEROP-} == all ]] && command -v apt-get >/dev/null; then
                fail "no OpenSSH of Debian's $suite"
            fi
            echo "OpenSSH of Debian's $suite: it cannot be had" >>"$RPROXY_TEST_SKIPPED"
            continue
        fi
        export RPROXY_TEST_OPENSSH=target/tools/openssh/$suite
        case $suite in
        sid)
            step cargo test --locked --lib cli::host
            RPROXY_TEST_OPENSSH_ROLE=both step cargo test --locked --test e2e -- "${core[@]}" "${readers[@]}" "${not_core[@]}"
            for role in client server; do
                # Its hosts are given the algorithms that the client knows.
                RPROXY_TEST_OPENSSH_ROLE=$role step cargo test --locked --test e2e -- "${core[@]}" "${not_core[@]}" \
                    --skip interop_servers::sshd_with_each_algorithm
            done
            ;;
        *)
            # scp of 8.4 does not know -O.
            step cargo test --locked --test e2e -- exec:: jump:: pty:: sftp:: \
                interop_servers::keys_change_all_the_time --skip jump::files
            ;;
        esac
        unset RPROXY_TEST_OPENSSH
    done
}

# --- small things ---------------------------------------------------------------------------------

step() {
    printf '\n== %s\n' "$*"
    "$@"
}

at_the_end() {
    # What is left in the middle ends with this script.
    if [[ -n $player_build ]]; then
        kill "$player_build" 2>/dev/null || true
        wait "$player_build" || true
    fi
    say_what_was_skipped
}

say_what_was_skipped() {
    local lines
    lines=$(sort -u "$RPROXY_TEST_SKIPPED")
    rm -f "$RPROXY_TEST_SKIPPED"
    if [[ -z $lines ]]; then
        printf '\nrun.sh: no test was skipped\n'
        return
    fi
    printf '\nrun.sh: %s skipped:\n' "$(wc -l <<<"$lines")"
    while read -r line; do
        printf '  %s\n' "$line"
    done <<<"$lines"
}

fail() {
    printf 'run.sh: %s\n' "$*" >&2
    exit 1
}

main "$@"
