#!/bin/sh
# Builds the addon for one machine with nothing but a C compiler.
#   native/build.sh [OUT]                         for this machine, to native/build/barewire.node
#   CC=aarch64-linux-gnu-gcc native/build.sh OUT  for another
#   native/build.sh --prebuilt                    both shipped binaries, to native/prebuilt/
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# -nostdlib: no dependency on a libc, so that one binary serves glibc and musl. --build-id=none and -s: same source, same bytes.
compile() { # CC OUT
  mkdir -p "$(dirname "$2")"
  "$1" -std=gnu11 -O2 -Wall -Wextra -Werror -fPIC -shared -nostdlib -ffreestanding -fvisibility=hidden \
    -fno-asynchronous-unwind-tables -fno-stack-protector -Wl,--build-id=none -Wl,-z,noexecstack -Wl,-z,relro -Wl,-z,now \
    -Wl,-z,noseparate-code -s -o "$2" "$here/barewire.c"
}
if [ "${1-}" = --prebuilt ]; then
  compile "${CC_X64:-x86_64-linux-gnu-gcc}" "$here/prebuilt/linux-x64/barewire.node"
  compile "${CC_ARM64:-aarch64-linux-gnu-gcc}" "$here/prebuilt/linux-arm64/barewire.node"
else
  compile "${CC:-cc}" "${1:-$here/build/barewire.node}"
fi
