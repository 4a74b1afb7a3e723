#!/bin/busybox sh
# The guest's first process. Its root is a directory of the host, and nothing here writes outside /run, /tmp and /dev.
/bin/busybox --install -s /bin 2>/dev/null
export PATH=/bin:/sbin:/usr/sbin:/usr/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
mkdir -p /dev/pts
mount -t devpts -o mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs tmp /tmp
mount -t tmpfs run /run
mkdir -p /run/log /run/ppp
ln -sf /proc/self/fd /dev/fd 2>/dev/null
hostname lab-ac

# What the host wants: MODULES, POOL, WIRE_MTU, NAME, SECOND_NAME, VLANS, MAX_PER_MAC, SERVICES.
. /lab.env
for module in $MODULES; do insmod "/lib/modules/$module.ko" || echo "no module $module"; done
[ -e /dev/ppp ] || mknod /dev/ppp c 108 0
sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0
sysctl -qw net.ipv6.conf.all.forwarding=1 net.ipv6.bindv6only=1

ip link set lo up
for address in 203.0.113.1/32 203.0.113.2/32 10.64.0.1/32; do ip address add "$address" dev lo; done
ip -6 address add 2001:db8:ff::53/128 dev lo
ip link set vec0 mtu "$WIRE_MTU" up
ip address add 198.51.100.1/24 dev vec1
ip link set vec1 up
syslogd -O /run/log/messages -S
# What a customer sees: the address that the request came from. And a shell for the tests, only on the Internet's side.
httpd -p 0.0.0.0:80 -h /www
httpd -p '[::]:80' -h /www
httpd -p 198.51.100.1:8079 -h /shell

# serve INTERFACE NAME FIRST-SESSION-ID FIRST-ADDRESS
serve() {
  # shellcheck disable=SC2086 # SERVICES is a list of options
  pppoe-server -I "$1" -L 10.64.0.1 -R "$4" -N "$POOL" -o "$3" -C "$2" -x "$MAX_PER_MAC" $SERVICES \
    -O /etc/ppp/pppoe-server-options -q /usr/sbin/start-pppd -Q /usr/sbin/pppoe
}
serve vec0 "$NAME" 0 10.64.1.1
[ -z "$SECOND_NAME" ] || serve vec0 "$SECOND_NAME" 20000 10.96.1.1
for vlan in $VLANS; do
  ip link add link vec0 name "vec0.$vlan" type vlan id "$vlan"
  ip link set "vec0.$vlan" up
  serve "vec0.$vlan" "$NAME-vlan$vlan" $((30000 + vlan % 100 * 100)) "10.66.$((vlan % 200)).1"
done
echo LAB-READY
while :; do sleep 3600 & wait; done
