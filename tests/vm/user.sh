#!/usr/bin/env bash
# Without root: the daemon under a user's own systemd, with control groups delegated to that user.
# seconds: 180
# claim unit: `tend install --user` writes a unit that the user's systemd starts
# claim delegated: daemon and replicas are in groups of two units below the user's own, with memory, cpu and pids
# claim memory: a service of that user that leaks is killed by the kernel at its limit, and the card says so
# claim cpu: a busy loop of that user limited to 0.2 processors gets no more
# claim pids: a service of that user limited to 20 processes gets no more
# claim kill: the user's systemd starts a daemon killed with -9 again; no replica is changed
source /host/vm/claims.sh

useradd --create-home --shell /bin/bash ana
uid=$(id -u ana)
loginctl enable-linger ana || echo "enable-linger ended with $?"
within 15 test -S "/run/user/$uid/bus" || echo "ana's systemd is not there"
# Runs a command as ana, as a login of hers would.
as_ana() {
  runuser -u ana -- env -C /home/ana XDG_RUNTIME_DIR="/run/user/$uid" \
    DBUS_SESSION_BUS_ADDRESS="unix:path=/run/user/$uid/bus" HOME=/home/ana NO_COLOR=1 "$@"
}
# What claims.sh asks, ana asks.
tend() { as_ana /usr/local/bin/tend "$@"; }

tend install --user || echo "tend install --user ended with $?"
as_ana systemctl --user daemon-reload
as_ana systemctl --user enable --now tend 2>&1
if within 10 tend ls; then
  ok unit "$(as_ana systemctl --user show tend -p Delegate,KillMode | sort | tr '\n' ' ')"
else
  failed unit "$(as_ana systemctl --user is-active tend): $(journalctl _UID="$uid" -n 40 -o cat --no-pager | grep -i 'failed\|error' | tail -3 | tr '\n' ' ')"
fi

mkdir /home/ana/own
cat > /home/ana/own/stack.yml << 'STACK'
name: own
services:
  leak:
    command: ["sh", "-c", "until [ -e end ]; do sleep 0.1; done; exec tail /dev/zero"]
    deploy: { resources: { limits: { memory: 48M } } }
  slow:
    command: ["sh", "-c", "while :; do :; done"]
    deploy: { resources: { limits: { cpus: "0.2" } } }
  free:
    command: ["sh", "-c", "while :; do :; done"]
  many:
    # Perl, because a shell ends when it cannot fork.
    command:
      - perl
      - -e
      - until (-e "end") { select(undef, undef, undef, 0.1) }
        for (1..60) { exec "sleep", "600" if defined($$p = fork) && !$$p } sleep 600
    deploy: { resources: { limits: { pids: 20 } } }
STACK
chown -R ana: /home/ana/own
tend up own || { tend status own; tend events --tail 30; }
tend info --json | jq -c .limits

daemon=$(as_ana systemctl --user show tend -p MainPID --value)
leak=$(pid_of own leak)
group=$(group_of "$leak")
enforced=$(tend info --json | jq -r '.limits | [.memory, .cpus, .pids] | map(tostring) | join(" ")')
if [[ $(group_of "$daemon") == */user@"$uid".service/*/tend.service && $group == */user@"$uid".service/*/tend-replicas.service/* &&
  $enforced == "cgroup cgroup cgroup" ]]; then
  ok delegated "memory, cpus, pids: $enforced; a replica is in $(printf '%s' "$group" | sed 's#.*/user@#user@#')"
else
  failed delegated "memory, cpus, pids: $enforced; the daemon is in $(group_of "$daemon"), which has: $(cat "$(group_of "$daemon")/../cgroup.controllers" 2> /dev/null)"
fi

slow=$(pid_of own slow)
free=$(pid_of own free)
from=$(seconds) slow_from=$(ticks_of "$slow") free_from=$(ticks_of "$free")
sleep 5
figures=$(awk "BEGIN { took = $(seconds) - $from
  printf \"%.1f %.1f\", ($(ticks_of "$slow") - $slow_from) / took, ($(ticks_of "$free") - $free_from) / took }")
read -r slow_percent free_percent <<< "$figures"
throttled=$(sed -n 's/^nr_throttled //p' "$(group_of "$slow")/cpu.stat")
figures="$slow_percent %, the one without a limit $free_percent %, held back ${throttled:-0} times"
if awk "BEGIN { exit !($slow_percent <= 23) }" && [ "${throttled:-0}" -gt 0 ]; then
  ok cpu "$figures"
else
  failed cpu "$figures"
fi
tend stop own/slow
tend stop own/free

many=$(pid_of own many)
touch /home/ana/own/end
within 20 has_ended own leak
card=$(exit_of own leak)
if dmesg | grep -q "Memory cgroup out of memory.*$leak" && [[ $card == *"out of memory"* ]]; then
  ok memory "limit 48M, «$card»"
else
  failed memory "memory.max is $(cat "$group/memory.max" 2> /dev/null || echo 'not there'), the card says «$card»"
  pkill -9 -u ana tail
fi
group=$(group_of "$many")
refused() { [ "$(sed -n 's/^max //p' "$group/pids.events" 2> /dev/null || echo 0)" -gt 0 ]; }
within 10 refused 2> /dev/null
if [ "$(cat "$group/pids.max" 2> /dev/null)" = 20 ] && refused && [ "$(cat "$group/pids.current")" -le 20 ]; then
  ok pids "$(cat "$group/pids.current") in its group, refused $(sed -n 's/^max //p' "$group/pids.events") times"
else
  failed pids "pids.max is $(cat "$group/pids.max" 2> /dev/null || echo 'not there')"
fi

replica="$many.$(start_time "$many")"
[ "$daemon" -gt 0 ] && kill -9 "$daemon"
another() {
  local pid
  pid=$(as_ana systemctl --user show tend -p MainPID --value)
  [ "$pid" != 0 ] && [ "$pid" != "$daemon" ] && tend info > /dev/null 2>&1
}
if within 15 another && within 15 test "$(pid_of own many)" = "$many" && [ "$many.$(start_time "$many")" = "$replica" ]; then
  ok kill "process $many is the same"
else
  failed kill "$(as_ana systemctl --user is-active tend); the replica was $replica, now $(pid_of own many): $(journalctl _UID="$uid" -n 40 -o cat --no-pager | grep -i 'failed\|error' | tail -3 | tr '\n' ' ')"
fi
