#!/usr/bin/env bash
# Memory, processors and processes of a service limited by control groups, as root; how ends are told apart.
# seconds: 180
# claim group: each replica runs in a control group of its own, with its limits in it
# claim memory: a service that leaks is killed by the kernel at its limit
# claim memory-card: the crash card says it was for memory
# claim code-card: the crash card of an exit code says the code, not memory
# claim signal-card: the crash card of a signal says the signal, not memory
# claim kill-card: a kill -9 by somebody is told as SIGKILL, not memory
# claim restarted: the service that leaked is started again and gets ready
# claim cpu: a busy loop limited to 0.2 processors gets no more, beside one without a limit
# claim pids: a service limited to 20 processes gets no more
# claim info: `tend info` says that control groups enforce all three
source /host/vm/claims.sh

mkdir -p /srv/limits
chmod 777 /srv/limits
cd /srv/limits || exit
cat > stack.yml << 'STACK'
name: limits
x-small: &small
  deploy: { resources: { limits: { memory: 64M } } }
services:
  leak:
    command: /usr/local/bin/mps-api
    port: PORT
    environment: { MPS_SEED: demo, MPS_BREAKABLE: "1" }
    readiness: { http: /ready, interval: 1s, timeout: 1s }
    deploy: { resources: { limits: { memory: 96M } } }
  code:
    <<: *small
    command: ["sh", "-c", "until [ -e end ]; do sleep 0.1; done; exit 3"]
  signal:
    <<: *small
    command: ["sh", "-c", "until [ -e end ]; do sleep 0.1; done; kill -SEGV $$$$"]
  kill:
    <<: *small
    command: ["sh", "-c", "until [ -e end ]; do sleep 0.1; done; kill -KILL $$$$"]
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

# Under systemd, as it is meant to run: a daemon that was started from this script would share its control group with it, and
# a group with processes cannot hand controllers on.
tend install > /dev/null
systemctl daemon-reload
systemctl start tend
within 15 tend ls > /dev/null
tend up || { tend status limits; tend events --tail 30; }
tend info --json | jq -c .limits

enforced=$(tend info --json | jq -r '.limits | [.memory, .cpus, .pids] | map(tostring) | join(" ")')
case "$enforced" in
  "cgroup cgroup cgroup") ok info "memory, cpus, pids: $enforced" ;;
  *) failed info "memory, cpus, pids: $enforced; $(tend info --json | jq -r .limits.why)" ;;
esac

leak=$(pid_of limits leak)
group=$(group_of "$leak")
memory_max=$(cat "$group/memory.max" 2> /dev/null)
shares=0
for service in code signal kill slow free many; do
  [ "$(group_of "$(pid_of limits $service)")" = "$group" ] && shares=$((shares + 1))
done
if [ "$memory_max" = $((96 << 20)) ] && [ $shares = 0 ]; then
  ok group "memory.max $memory_max in $group"
else
  failed group "memory.max is ${memory_max:-not there} in $group, wanted $((96 << 20)); $shares other services share it"
fi

# Processor: over five seconds, by the process's own account, not by tend's.
slow=$(pid_of limits slow)
free=$(pid_of limits free)
if [ -n "$slow" ] && [ -n "$free" ]; then
  from=$(seconds) slow_from=$(ticks_of "$slow") free_from=$(ticks_of "$free")
  sleep 5
  to=$(seconds) slow_to=$(ticks_of "$slow") free_to=$(ticks_of "$free")
  figures=$(awk "BEGIN { took = $to - $from
    printf \"%.1f %.1f %.1f\", ($slow_to - $slow_from) / took, ($free_to - $free_from) / took, took }")
  read -r slow_percent free_percent took <<< "$figures"
  throttled=$(sed -n 's/^nr_throttled //p' "$(group_of "$slow")/cpu.stat")
  figures="$slow_percent % over $took s, the one without a limit $free_percent %, held back ${throttled:-0} times"
  # Less than its share is the doing of a busy host; more is not. That it was held back says who limited it.
  if awk "BEGIN { exit !($slow_percent <= 23) }" && [ "${throttled:-0}" -gt 0 ]; then
    ok cpu "$figures"
  else
    failed cpu "$figures"
  fi
else
  failed cpu "the two busy loops do not run"
fi
tend stop limits/slow
tend stop limits/free

# Memory: the real service leaks until somebody ends it. Its group is asked while it lives, the kernel's log afterwards.
port=$(tend status limits --json | jq -r '.services[] | select(.name == "leak") | .replicas[0].port')
curl -s "http://127.0.0.1:$port/api/break" -d '{"mode":"leak","mb_a_second":40}' || failed memory "the service could not be told to leak"
if within 40 has_ended limits leak; then
  if dmesg | grep -q "Memory cgroup out of memory.*$leak"; then
    ok memory "limit 96M: $(dmesg | grep 'Memory cgroup out of memory' | tail -1 | sed 's/^\[[^]]*\] //; s/, UID.*//')"
  else
    failed memory "it ended ($(exit_of limits leak)), but the kernel's log has no kill for memory of process $leak"
  fi
  card=$(exit_of limits leak)
  [[ $card == *"out of memory"* ]] && ok memory-card "«$card»" || failed memory-card "«$card»"
  port_ready() { curl -sf "http://127.0.0.1:$(tend status limits --json | jq -r '.services[] | select(.name == "leak") | .replicas[0].port')/ready" > /dev/null; }
  again=$(seconds)
  if within 20 port_ready && [ "$(pid_of limits leak)" != "$leak" ]; then
    ok restarted "process $leak, then $(pid_of limits leak)"
  else
    failed restarted "not ready $(awk "BEGIN { print $(seconds) - $again }") s later"
  fi
else
  failed memory "told to leak 40 MB a second, it still runs 40 s later, at $(sed -n 's/^VmRSS:[ \t]*//p' "/proc/$leak/status"); its group has $(cat "$group/memory.current") of $memory_max bytes"
  grep -H . "$group"/memory.events "$group"/memory.stat "$group"/memory.pressure "$group"/cpu.stat
  curl -s -m 5 "http://127.0.0.1:$port/metrics" | grep -i 'memory\|break'
  dmesg | tail -5
  kill -9 "$leak" 2> /dev/null
fi

# The three other ways to end.
touch end
for wanted in "code code 3" "signal SIGSEGV" "kill SIGKILL"; do
  read -r service words <<< "$wanted"
  within 10 has_ended limits "$service"
  card=$(exit_of limits "$service")
  if [[ $card == *"$words"* && $card != *memory* ]]; then
    ok "$service-card" "«$card»"
  else
    failed "$service-card" "wanted «$words», the card says «$card»"
  fi
done

# Processes: it tries for sixty.
many=$(pid_of limits many)
group=$(group_of "$many")
refused() { [ "$(sed -n 's/^max //p' "$group/pids.events" 2> /dev/null || echo 0)" -gt 0 ]; }
within 10 refused 2> /dev/null
processes=$(pgrep -c -g "$(ps -o pgid= -p "$many" | tr -d ' ')" 2> /dev/null || true)
if [ "$(cat "$group/pids.max" 2> /dev/null)" = 20 ] && refused && [ "$(cat "$group/pids.current")" -le 20 ]; then
  ok pids "$(cat "$group/pids.current") in its group, refused $(sed -n 's/^max //p' "$group/pids.events") times"
else
  failed pids "pids.max is $(cat "$group/pids.max" 2> /dev/null || echo 'not there'); its group has ${processes:-no} processes"
fi
timeout 30 tend down limits
