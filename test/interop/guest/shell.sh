#!/bin/busybox sh
# The body of the request is a script, run as root in the guest.
printf 'Content-Type: text/plain\r\n\r\n'
exec sh 2>&1
