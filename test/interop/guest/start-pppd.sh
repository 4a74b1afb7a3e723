#!/bin/busybox sh
# What pppoe-server starts for a session:
#   pppd pty "/usr/sbin/pppoe -n -I INTERFACE -e SESSION:MAC -S 'SERVICE'" file OPTIONS LOCAL:REMOTE …
# Debian builds it without kernel mode, so the relay by pty is turned into the kernel's own PPPoE here.
relay=$2
shift 4
interface=${relay#*-I }
interface=${interface%% *}
session=${relay#*-e }
session=${session%% *}
service=${relay##*-S \'}
service=${service%\'}
options=/etc/ppp/services/${service:-internet}
[ -r "$options" ] || options=/etc/ppp/services/internet
exec /usr/sbin/pppd plugin rp-pppoe.so "nic-$interface" rp_pppoe_sess "$session" rp_pppoe_service "$service" \
  file "$options" "$@"
