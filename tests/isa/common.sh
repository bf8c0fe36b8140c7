# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# For tests/isa/run_*: the kernel tests as static programs of some other machine, from src/base, src/nn and two headers
# in the place of OpenBLAS and cmocka. Reads $build, and $linked: more for the last step.

# The flags that CMakeLists.txt gives to the library.
flags=(-std=gnu11 -g -D_GNU_SOURCE -fno-math-errno -fno-trapping-math -ffp-contract=off -Wall -Wextra -Werror
    -Itests/isa/support -Itests/support -Isrc -Iinclude)

# The options that CMakeLists.txt sets for one file of kernels, x86-64 only.
options_of() {
    sed -n "/set_source_files_properties(src\/nn\/$1 /,/)/p" CMakeLists.txt | sed -n 's/.*"\(.*\)".*/\1/p' | tr ';' '\n'
}

# build_tests COMPILER [OPTION…]: $build/test_ops and $build/test_packed, unless they are newer than their sources.
build_tests() {
    local source object objects=() more
    if [[ -f $build/built && -z $(find src/base src/nn include tests/unit tests/support tests/isa CMakeLists.txt \
        -newer "$build/built" -type f) ]]; then
        return
    fi
    mkdir -p "$build"
    for source in src/base/*.c src/nn/*.c; do
        object=$build/$(basename "$source" .c).o
        objects+=("$object")
        more=()
        [[ $1 == *aarch64* ]] || mapfile -t more < <(options_of "$(basename "$source")")
        "$@" "${flags[@]}" -O3 "${more[@]}" -c "$source" -o "$object"
    done
    for source in test_ops test_packed; do # -O1: GCC 12.2 for aarch64 breaks off at -O3
        "$@" "${flags[@]}" -O1 -static "tests/unit/$source.c" "${objects[@]}" "${linked[@]}" \
            -o "$build/$source" -lm -pthread
    done
    touch "$build/built"
}
