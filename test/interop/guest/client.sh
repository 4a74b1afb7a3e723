#!/bin/busybox sh
# The first process of a guest that dials with the kernel's own PPPoE, runs /script and is gone.
/bin/busybox --install -s /bin 2>/dev/null
export PATH=/bin:/sbin:/usr/sbin:/usr/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
mount -t tmpfs tmp /tmp
mount -t tmpfs run /run
mkdir -p /run/ppp
. /lab.env
for module in $MODULES; do insmod "/lib/modules/$module.ko"; done
[ -e /dev/ppp ] || mknod /dev/ppp c 108 0
ip link set lo up
ip link set vec0 mtu 1508 up
# shellcheck disable=SC2086 # OPTIONS is a list
pppd plugin rp-pppoe.so nic-vec0 noauth nodetach noipdefault defaultroute noccp $OPTIONS > /run/pppd.log 2>&1 &
client=$!
for _ in $(seq 1 300); do
  kill -0 "$client" || break
  ip address show ppp0 2>/dev/null | grep -q 'inet ' && break
  sleep 0.1
done
sh /script
poweroff -f
