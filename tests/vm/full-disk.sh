#!/usr/bin/env bash
# The disk with the state folder is full: services go on, people are told, and the journal goes on when there is room.
# seconds: 180
# disk: 64
# claim serves: the edge goes on serving and no replica is changed
# claim told: a command that cannot be recorded fails with a sentence that names the full disk and the next step
# claim supervised: a replica killed while the disk is full is started again
# claim recovers: once there is room, commands work again without anybody restarting the daemon
# claim adopts: a daemon killed while the disk is full says why it cannot start, or starts; with room it adopts every replica
# claim journal: afterwards the journal verifies, and what could not be written is told as a gap or was written late
# claim fresh: a daemon that finds no room at its first start says so in one sentence, with the next step
source /host/vm/claims.sh
source /host/vm/http.sh

mkdir -p /full /srv/mps
mount /dev/ubdb /full
cp /host/stacks/* /srv/mps/
cd /srv/mps || exit
export TEND_STATE=/full/state TEND_RUN=/run/tend-full

tend up || tend status mps
fill() {
  dd if=/dev/zero of=/full/ballast bs=64k 2> /dev/null
  dd if=/dev/zero bs=1k >> /full/ballast 2> /dev/null
  sync
}
room() { df --output=avail -k /full | tail -1 | tr -d ' '; }
processes() {
  local pid
  for pid in $(pgrep -f 'mps-api|tend edge'); do printf '%s.%s\n' "$pid" "$(start_time "$pid")"; done | sort
}
# Free space may come back for a moment, such as when a log is rotated: it is taken again.
fill
echo "room: $(room) kB"
before=$(processes)
daemon=$(tend info --json | jq .pid)

# Room may be left inside the journal's own files, so it is asked until it is refused.
answer='' refused=no
for _ in 1 2 3 4 5 6 7 8 9 10 11 12; do
  fill
  answer=$(timeout 20 tend scale api=3 2>&1 && timeout 20 tend restart api/1 2>&1) || { refused=yes; break; }
done
echo "$answer"
sentence=$(grep -m1 'error' <<< "$answer")
if [ $refused = yes ] && grep -q 'full' <<< "$answer" && grep -qi 'room\|space' <<< "$answer"; then
  ok told "«$(grep -v '^ *$' <<< "$answer" | tail -4 | tr -s ' \n' ' ')»"
else
  failed told "refused: $refused, it said «${sentence:-$answer}»"
fi

before=$(processes)
requests=0
bad=0
for _ in $(seq 50); do
  requests=$((requests + 1))
  request GET /health && [ "$STATUS" = 200 ] || bad=$((bad + 1))
done
if [ $bad = 0 ] && [ "$before" = "$(processes)" ] && [ "$(wc -l <<< "$before")" -ge 4 ]; then
  ok serves "$requests requests, $(room) kB of room"
else
  failed serves "$bad of $requests requests failed; $(diff <(echo "$before") <(processes) | grep -c '^[<>]') processes changed"
fi

victim=$(pgrep mps-api | head -1)
[ -n "$victim" ] && kill -9 "$victim"
three() { [ "$(pgrep -c mps-api)" = 3 ] && ! pgrep mps-api | grep -qx "$victim"; }
begun=$(seconds)
if within 20 three; then
  ok supervised "after $(awk "BEGIN { print $(seconds) - $begun }") s"
else
  failed supervised "$(pgrep -c mps-api) of 3 processes after 20 s"
fi

said=$(TEND_STATE=/full/fresh timeout 15 tend daemon 2>&1)
code=$?
if [ $code != 0 ] && [ $code != 124 ] && grep -qi 'no space\|full' <<< "$said" && grep -q 'next:' <<< "$said" && ! grep -q panic <<< "$said"; then
  ok fresh "ends with $code: «$(tr -s ' \n' ' ' <<< "$said")»"
else
  failed fresh "ends with $code: «$(tr -s ' \n' ' ' <<< "$said")»"
fi

daemon=$(tend info --json 2> /dev/null | jq .pid)
rm -rf /full/ballast /full/fresh
works() { timeout 20 tend scale api=2 > /dev/null 2>&1 && timeout 20 tend scale api=3 > /dev/null 2>&1; }
begun=$(seconds)
if within 30 works && within 20 has_ready mps 3 && [ "$(tend info --json | jq .pid)" = "$daemon" ]; then
  ok recovers "$(awk "BEGIN { print $(seconds) - $begun }") s after room was made"
else
  failed recovers "$(timeout 20 tend scale api=2 2>&1 | tr -s ' \n' ' ')"
fi

fill
before=$(processes)
daemon=$(tend info --json | jq .pid)
[ "$daemon" -gt 0 ] && kill -9 "$daemon"
gone() { ! kill -0 "$daemon" 2> /dev/null; }
within 5 gone
said=$(timeout 20 tend up 2>&1) && code=0 || code=$?
request GET /health
while_full="$STATUS, $(diff <(echo "$before") <(processes) | grep -c '^[<>]')"
echo "$said"
rm -f /full/ballast
timeout 30 tend up
changed=$(diff <(echo "$before") <(processes) | grep -c '^[<>]')
if [ "$while_full, $changed" = "200, 0, 0" ] && { [ $code = 0 ] || grep -qi 'full\|space' <<< "$said"; }; then
  ok adopts "while full, tend up ended with $code; $(wc -l <<< "$before") processes the same"
else
  failed adopts "while full: answer and changed processes: $while_full; then changed: $changed; it said «$(tr -s ' \n' ' ' <<< "$said" | tail -c 300)»"
fi

findings=$(verified) && clean=yes || clean=no
tend events --since 1h
gaps=$(tend events --json --since 1h --kind journal.gap | wc -l)
late=$(tend events --json --since 1h --kind replica.exited | wc -l)
if [ $clean = yes ] && [ $((gaps + late)) -gt 0 ]; then
  ok journal "$findings; gaps told: $gaps, unexpected ends on record: $late"
else
  failed journal "$findings; gaps told: $gaps, unexpected ends on record: $late"
fi
timeout 30 tend down mps
