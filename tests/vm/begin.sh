#!/usr/bin/env bash
# Begins a scenario inside the virtual machine. Started as root by tend-vm.service, which powers the machine off afterwards.
set -u
mount -o remount,rw /
mkdir -p /usr/local/bin
cp /host/bin/* /usr/local/bin/
# What the host says on the kernel's command line: word NAME.
word() { sed -n "s/.*tend\.$1=\([^ ]*\).*/\1/p" /proc/cmdline; }
ROUND=$(word round)
export ROUND
exec >> /host/out/log 2>&1
printf 'round %s, up after %s s\n' "$ROUND" "$(cut -d' ' -f1 /proc/uptime)"
timeout --signal=KILL "$(word seconds)" bash "/host/vm/$(word scenario).sh"
printf 'the script ended with %s, %s s after the start\n' $? "$(cut -d' ' -f1 /proc/uptime)"
journalctl --no-pager --quiet --unit 'tend*' --lines 60
