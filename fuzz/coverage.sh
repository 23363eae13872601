#!/bin/sh
# A wrapper of rustc for cargo (RUSTC_WRAPPER): the crates under test count what they cover, so that
# libFuzzer learns from it; all others are built as ever, and as fast.
case " $* " in
*" --crate-name rproxy "* | *" --crate-name rproxy_fuzz "*)
    exec "$@" -Ccodegen-units=1 -Cpasses=sancov-module \
        -Cllvm-args=-sanitizer-coverage-level=4 \
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
        -Cllvm-args=-sanitizer-coverage-pc-table \
        -Cllvm-args=-sanitizer-coverage-trace-compares
    ;;
*)
    exec "$@"
    ;;
esac
