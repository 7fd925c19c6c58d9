# What the scenarios share: saying what came of a claim, waiting with a deadline, asking tend. Sourced by each of them.
# shellcheck shell=bash
set -u
export NO_COLOR=1 MPS_API=/usr/local/bin/mps-api

# ok CLAIM FIGURES…; failed CLAIM WHY…
ok() { say ok "$@"; }
failed() { say failed "$@"; }
say() {
  local line="$1 $2 ${*:3}"
  printf '%s\n' "${line//$'\n'/ }" >> /host/out/results
  printf '[%s] %s\n' "$(seconds)" "$line"
}

# Seconds since the machine started, with two digits after the point.
seconds() { cut -d' ' -f1 /proc/uptime; }

# within SECONDS COMMAND…: waits until the command succeeds; fails when it never did.
within() {
  local until=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < until)) || return 1
    sleep 0.1
  done
}

# Of a process: its start time, in ticks since the machine started. A process id with its start time names a process.
start_time() { sed 's/.*) //' "/proc/$1/stat" 2> /dev/null | cut -d' ' -f20; }

# The process of a replica: pid_of STACK SERVICE [SLOT, from 1]; nothing when it has none.
pid_of() {
  tend status "$1" --json 2> /dev/null |
    jq -r --arg service "$2" --argjson index "$((${3:-1} - 1))" \
      '.services[] | select(.name == $service) | .replicas[$index].pid // empty'
}

ready_replicas() { tend status "$1" --json 2> /dev/null | jq '[.services[].ready_replicas] | add // 0'; }
has_ready() { [ "$(ready_replicas "$1")" = "$2" ]; }

# The folder of a process's control group, where the files with limits are.
group_of() { printf '/sys/fs/cgroup%s' "$(sed -n 's/^0:://p' "/proc/$1/cgroup" 2> /dev/null)"; }

# Processor time of a process, in ticks of a hundredth of a second.
ticks_of() { sed 's/.*) //' "/proc/$1/stat" | awk '{print $12 + $13}'; }

# The crash card's words of the last unexpected end of a service: exit_of STACK SERVICE.
exit_of() {
  tend events --json --tail 1 --kind replica.exited "$1/$2" 2> /dev/null | jq -r '.data.exit // empty' | tail -1
}
has_ended() { [ -n "$(exit_of "$@")" ]; }

# Checks the journal on the disk; says what it found.
verified() { tend events verify 2>&1; }
