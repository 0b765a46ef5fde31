#!/bin/sh
# Finds what the build lacks. cipherlane builds GMP from source, which takes a C compiler, make, m4 and diffutils beside Rust.
# With apt-get, and as root or with sudo that asks no password, installs it; else prints the line that does and stops.
set -eu

has() { command -v "$1" >/dev/null 2>&1; }

# A compiler without the C library's headers and start files is of no use.
cc_works() {
    has cc || return 1
    scratch=$(mktemp -d)
    printf '#include <stdio.h>\nint main(void) { return 0; }\n' >"$scratch/a.c"
    status=0
    cc -o "$scratch/a" "$scratch/a.c" >/dev/null 2>&1 || status=1
    rm -rf "$scratch"
    return "$status"
}

find_missing() {
    missing=
    cc_works || missing="$missing cc"
    for tool in make m4 diff; do
        has "$tool" || missing="$missing $tool"
    done
    missing=${missing# }
}

# Names of the packages with the tools of $missing, where the C compiler is in $1.
packages() {
    for tool in $missing; do
        case $tool in
            cc) printf ' %s' "$1" ;;
            diff) printf ' diffutils' ;;
            *) printf ' %s' "$tool" ;;
        esac
    done
}

# Sets $line to advice to run the command $1, with sudo unless they are root.
advise() {
    if [ "$(id -u)" -eq 0 ]; then line="please run: $1"; else line="please run: sudo $1"; fi
}

find_missing
if [ -n "$missing" ]; then
    if has apt-get; then
        list=$(packages "gcc libc6-dev")
        advise "apt-get install -y$list"
        become=none
        if [ "$(id -u)" -eq 0 ]; then
            become=
        elif has sudo && sudo -n true 2>/dev/null; then
            become="sudo -n"
        fi
        if [ "$become" != none ]; then
            echo "setup: installing$list" >&2
            apt="$become env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120"
            # The lists of packages may be there and fresh; a bare image has none.
            # shellcheck disable=SC2086
            $apt install -y --no-install-recommends $list </dev/null >&2 ||
                { $apt update </dev/null >&2 && $apt install -y --no-install-recommends $list </dev/null >&2; } ||
                echo "setup: apt-get failed" >&2
            find_missing
        fi
    elif has dnf; then
        advise "dnf install -y$(packages gcc)"
    elif has pacman; then
        advise "pacman -S --needed$(packages gcc)"
    elif has zypper; then
        advise "zypper install -y$(packages "gcc glibc-devel")"
    elif has apk; then
        advise "apk add$(packages "gcc musl-dev")"
    elif has brew; then
        line="please run: brew install$(packages gcc)"
    else
        line="please install with your package manager"
    fi
fi

if [ -n "$missing" ]; then
    echo "setup: missing: $missing; $line" >&2
fi
if ! has cargo; then
    echo "setup: missing: Rust; please run: curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh" >&2
    missing="$missing cargo"
fi
[ -z "$missing" ]
