#!/bin/busybox sh
# pppd calls this when IPv6 is up: $1 interface, $4 own link-local address, $6 what the service says.
# Router advertisements with a prefix of the session's own, and prefix delegation.
[ "$6" = advertise ] || exit 0
number=$(printf %x $((${1#ppp} + 1)))
sysctl -qw "net.ipv6.conf.$1.forwarding=1"
ip -6 address add "2001:db8:1:$number::1/64" dev "$1"
cat > "/run/radvd.$1.conf" <<X
interface $1 {
  AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 10; UnicastOnly off; AdvOtherConfigFlag on;
  prefix 2001:db8:1:$number::/64 { AdvOnLink on; AdvAutonomous on; };
  RDNSS 2001:db8:ff::53 { };
};
X
/usr/sbin/radvd -C "/run/radvd.$1.conf" -p "/run/radvd.$1.pid" -m syslog
# The customer's DHCPv6 identity is its MAC address, which the lab gives.
cat > "/run/dhcp6s.$1.conf" <<X
option domain-name-servers 2001:db8:ff::53;
host customer {
  duid 00:03:00:01:02:77:00:00:00:02;
  prefix 2001:db8:1$number::/48 3600 7200;
};
X
/usr/sbin/dhcp6s -c "/run/dhcp6s.$1.conf" -P "/run/dhcp6s.$1.pid" -k /dev/null "$1"
