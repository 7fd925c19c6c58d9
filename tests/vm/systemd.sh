#!/usr/bin/env bash
# The daemon under systemd, as `tend install` sets it up: it may be restarted and killed, and nobody notices.
# seconds: 180
# claim unit: `tend install` writes a unit that systemd starts
# claim up: `tend up` under that unit brings the stack to serving
# claim restart: `systemctl restart tend` changes no replica, no shim and not the edge
# claim kill: systemd starts a daemon killed with -9 again, and it adopts every replica
# claim stop: with the daemon stopped by `systemctl stop`, replicas and edge go on
# claim again: a replica killed while there was no daemon is started by the next one, and no other
# claim served: no request through the edge failed all the while
# claim boot: the unit is enabled for the next start of the machine
# claim journal: the journal tells each daemon, and verifies
source /host/vm/claims.sh
source /host/vm/http.sh

mkdir -p /srv/mps
cp /host/stacks/* /srv/mps/
cd /srv/mps || exit

tend install || failed unit "tend install ended with $?"
systemctl daemon-reload
if ! systemd-analyze verify --man=no tend.service; then failed unit "systemd-analyze finds fault with it"; fi
properties=$(systemctl show tend -p KillMode,Delegate,Restart | sort | tr '\n' ' ')
systemctl enable tend 2>&1
started=$(seconds)
if systemctl start tend && within 10 tend ls && [ "$properties" = "Delegate=yes KillMode=process Restart=always " ]; then
  ok unit "$properties; answers $(awk "BEGIN { print $(seconds) - $started }") s after systemctl start"
else
  failed unit "$properties; $(systemctl is-active tend)"
fi
[ "$(systemctl is-enabled tend)" = enabled ] && ok boot || failed boot "systemctl is-enabled says $(systemctl is-enabled tend)"

tend up
up=$?
request GET /ready
if [ $up = 0 ] && [ "$STATUS" = 200 ] && has_ready mps 3; then
  ok up "3 replicas ready"
else
  failed up "tend up ended with $up, the edge answered ${STATUS:-nothing}; $(tend status mps | tr '\n' ' ')"
fi

# Everything that must stay: replicas and edge with their shims, each by process id and start time.
processes() {
  local pid
  for pid in $(pgrep -f 'mps-api|tend (shim|edge)|tend shim'); do
    printf '%s.%s.%s\n' "$pid" "$(start_time "$pid")" "$(cat "/proc/$pid/comm")"
  done | sort
}
main_pid() { systemctl show tend -p MainPID --value; }
daemon_answers() { tend info > /dev/null 2>&1; }
new_daemon() { [ "$(main_pid)" != 0 ] && [ "$(main_pid)" != "$1" ] && daemon_answers; }
# changed_since BEFORE: says what is gone and what is new.
changed_since() { diff <(echo "$1") <(processes) | grep '^[<>]' | tr '\n' ' '; }

# Requests all the while; what fails is written down with its time.
(
  n=0
  while [ ! -e /tmp/enough ]; do
    n=$((n + 1))
    request GET /health && [ "$STATUS" = 200 ] || echo "$(seconds) health ${STATUS:-no answer}" >> /tmp/refused
    pay "systemd-$n" || echo "$(seconds) payment $n: ${STATUS:-no answer} $BODY" >> /tmp/refused
    echo "$n" > /tmp/asked
  done
) &
load=$!

before=$(processes)
echo "$before"
count=$(echo "$before" | wc -l)

# same_after CLAIM DAEMON: the next daemon is there, sees three ready replicas, and nothing was changed.
same_after() {
  local begun changed
  begun=$(seconds)
  if ! within 15 new_daemon "$2"; then
    failed "$1" "no other daemon within 15 s; $(systemctl is-active tend): $(journalctl -n 200 -o cat --no-pager | grep -i 'failed at step\|error' | tail -1)"
    return
  fi
  local answered
  answered=$(awk "BEGIN { print $(seconds) - $begun }")
  within 15 has_ready mps 3 || { failed "$1" "the next daemon sees $(ready_replicas mps) ready replicas"; return; }
  changed=$(changed_since "$before")
  if [ -z "$changed" ]; then
    ok "$1" "$count processes the same, the next daemon answered after $answered s"
  else
    failed "$1" "changed: $changed"
  fi
}

daemon=$(main_pid)
systemctl restart tend || echo "systemctl restart ended with $?"
same_after restart "$daemon"

daemon=$(main_pid)
# Process 0 would be this script's own group.
[ "$daemon" -gt 0 ] && kill -9 "$daemon"
same_after kill "$daemon"

systemctl stop tend
sleep 1
changed=$(changed_since "$before")
request GET /ready
if [ -z "$changed" ] && [ "$STATUS" = 200 ] && ! daemon_answers; then
  ok stop "$count processes the same, /ready answered $STATUS"
else
  failed stop "changed: ${changed:-nothing}, /ready answered ${STATUS:-nothing}"
fi
touch /tmp/enough
wait $load

victim=$(pgrep mps-api | head -1)
[ -n "$victim" ] && kill -9 "$victim"
systemctl start tend
within 20 has_ready mps 3
gone=$(diff <(echo "$before" | grep mps-api) <(processes | grep mps-api) | grep -c '^<')
new=$(diff <(echo "$before" | grep mps-api) <(processes | grep mps-api) | grep -c '^>')
if has_ready mps 3 && [ "$gone $new" = "1 1" ]; then
  ok again "one replaced, two the same"
else
  failed again "$gone replicas gone, $new new, $(ready_replicas mps) ready"
fi

asked=$(cat /tmp/asked 2> /dev/null || echo 0)
refused=$(wc -l < /tmp/refused 2> /dev/null || echo 0)
cat /tmp/refused 2> /dev/null
if [ "$refused" = 0 ] && [ "$asked" -ge 20 ]; then
  ok served "$((asked * 3)) requests, none failed"
else
  failed served "$refused of $((asked * 3)) failed; the first: $(head -1 /tmp/refused 2> /dev/null)"
fi

daemons=$(tend events --json --since 1h --kind daemon.started | wc -l)
findings=$(verified) && clean=yes || clean=no
if [ $clean = yes ] && [ "$daemons" = 4 ]; then
  ok journal "$daemons daemons; $findings"
else
  failed journal "$daemons daemons, wanted 4; $findings"
fi
