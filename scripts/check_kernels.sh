#!/bin/sh
# Checks the machine code of the AVX-512 kernels: multiply-adds are there, and no vector register is spilled to the stack.
# Usage: scripts/check_kernels.sh [BINARY]   (default: the release binary of `cargo test --lib`)
set -eu
cd "$(dirname "$0")/.."

if [ "$(uname -m)" != x86_64 ]; then
    echo "check_kernels: skipped, not x86_64"
    exit 0
fi
objdump=$(command -v objdump || command -v llvm-objdump || true)
if [ -z "$objdump" ]; then
    echo "check_kernels: skipped, no objdump"
    exit 0
fi
binary=${1:-}
if [ -z "$binary" ]; then
    binary=$(cargo test --release --lib --no-run 2>&1 | sed -n 's/.*Executable.*(\(.*\))$/\1/p' | tail -n 1)
fi
[ -f "$binary" ] || { echo "check_kernels: no binary at '$binary'" >&2; exit 1; }

"$objdump" -d --no-show-raw-insn "$binary" | awk '
    /^[0-9a-f]+ <.*>:$/ { inside = ($0 ~ /ifma.*kernel.*pass/); if (inside) kernels++; next }
    inside && /vpmadd52luq/ { low++ }
    inside && /vpmadd52huq/ { high++ }
    inside && /vmov.*zmm[0-9]+,.*\(%rsp|vmov.*\[rsp.*,[ ]*zmm/ { spills++; print "spill: " $0 }
    END {
        printf "check_kernels: %d kernels, %d low and %d high multiply-adds, %d spills\n", kernels, low, high, spills
        exit !(kernels >= 4 && low >= 100 * kernels && high >= 100 * kernels && spills == 0)
    }'
