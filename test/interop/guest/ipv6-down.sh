#!/bin/busybox sh
for server in radvd dhcp6s; do
  [ ! -s "/run/$server.$1.pid" ] || kill "$(cat "/run/$server.$1.pid")" 2>/dev/null
done
exit 0
