#!/bin/sh
# Installs the development tools that tests compare Barewire with; only what is missing. Debian, as root.
# Barewire itself needs none of them.
set -eu

missing=
for package in gcc libc6-dev binutils iproute2 bpftool clang-14 llvm-14 clang-16 clang-19 libbpf-dev linux-libc-dev xdp-tools nftables libxdp1 tshark curl nginx-light openssl iputils-ping ethtool iperf3 dnsmasq-base tmux chromium strace tinyproxy-bin; do
  status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing="$missing $package"
done

[ -n "$missing" ] || exit 0
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
# shellcheck disable=SC2086 # one argument a package
apt-get install -q -y --no-install-recommends $missing
