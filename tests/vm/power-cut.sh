#!/usr/bin/env bash
# The power is cut while payments are made and events recorded; what had been acknowledged is there after the next start.
# Boots 1 to 4 check what came before, write until they are cut, and are killed from outside; the last one only checks.
# What was acknowledged is written to the host, outside the machine, by a file system that is mounted with `sync`.
# seconds: 180
# power-cuts: 4
# claim starts: after each cut the daemon is started by systemd and brings the stack back, with nobody's help
# claim events: each event that was shown by `tend events -f` before a cut is in the journal, unchanged
# claim verify: `tend events verify` finds nothing after each cut
# claim payments: each acknowledged payment is in the ledger
# claim books: the ledger balances after each cut
# claim disk: the file system is sound after each cut, its journal having been replayed
# claim teeth: what was written without fsync just before a cut is lost, so the cuts do cut
source /host/vm/claims.sh
source /host/vm/http.sh
out=/host/out

# Round 0 is the last one; `check ROUND_BEFORE` looks at what was acknowledged until then.
last=4
before=$((ROUND == 0 ? last : ROUND - 1))

all_ready() {
  tend status mps --json 2> /dev/null |
    jq -e '.services[0] | .wanted_replicas >= 2 and .ready_replicas == .wanted_replicas' > /dev/null
}

check() {
  local begun findings missing
  begun=$(seconds)
  # Two or three are wanted: the cut may have come between the two commands that scale.
  if within 40 all_ready; then
    echo "after cut $before: ready $(awk "BEGIN { print $(seconds) - $begun }") s later" | tee -a $out/starts
  else
    failed starts "after cut $before: $(ready_replicas mps) replicas ready after 40 s; $(systemctl is-active tend): $(journalctl -u tend -n 3 -o cat --no-pager | tr '\n' ' ')"
  fi

  if dmesg | grep -q 'EXT4-fs (ubda).*recovery complete\|EXT4-fs (ubda): .*recovery' || journalctl -b -u systemd-fsck-root -o cat --no-pager | grep -q 'recovering journal'; then
    echo "$before" >> $out/replayed
  fi
  dmesg | grep 'EXT4-fs'
  journalctl -b -u systemd-fsck-root -o cat --no-pager
  if dmesg | grep -q 'EXT4-fs error'; then failed disk "after cut $before: $(dmesg | grep -m1 'EXT4-fs error')"; fi

  findings=$(verified) || failed verify "after cut $before: $findings"
  echo "$findings" >> $out/verified

  # A line may have been cut while it was written; it was not acknowledged to the end.
  cat $out/events-* 2> /dev/null | jq -rR 'fromjson? | "\(.id) \(.hash)"' | sort -u > /tmp/acknowledged
  tend events --json --since 1d | jq -r '"\(.id) \(.hash)"' | sort -u > /tmp/kept
  missing=$(comm -23 /tmp/acknowledged /tmp/kept | wc -l)
  [ "$missing" = 0 ] || failed events "after cut $before: $missing of $(wc -l < /tmp/acknowledged) are missing or changed, the first: $(comm -23 /tmp/acknowledged /tmp/kept | sort -n | head -1)"
  echo "$(wc -l < /tmp/acknowledged) acknowledged, $(wc -l < /tmp/kept) kept" | tee /tmp/events

  missing=0
  asked=0
  local transaction
  while read -r transaction; do
    asked=$((asked + 1))
    # One that cannot be asked for is not there.
    request GET "/api/transactions/$transaction" && [ "$STATUS" = 200 ] || missing=$((missing + 1))
  done < <(cat $out/payments-* 2> /dev/null | grep '^tx_.*;$' | tr -d ';')
  [ "$missing" = 0 ] || failed payments "after cut $before: $missing of $asked acknowledged payments are not in the ledger"
  request GET /api/ledger/check
  [[ $STATUS == 200 && $BODY =~ \"balanced\":\ ?true ]] || failed books "after cut $before: $STATUS $BODY"

  # Appended to by the round before and never synced.
  if [ "$(stat -c %s "/var/lib/unsynced-$before" 2> /dev/null || echo 0)" -lt "$(tail -1 "$out/unsynced-$before")" ]; then
    echo "$before" >> $out/lost
  fi
  rm -f "/var/lib/unsynced-$before"
  sync
}

write() {
  local n=0
  (tend events -f --json --tail 1 >> "$out/events-$ROUND") &
  # Events: one-off commands, one after the other, and a replica that is killed now and then.
  (
    while :; do
      tend run api -- true
      tend scale api=2 && tend scale api=3
      # Leaves processor time to the payments.
      sleep 0.5
    done
  ) > /dev/null 2>&1 &
  touch "$out/writing-$ROUND"
  while :; do
    n=$((n + 1))
    # The line ends in `;`: without it, it was cut.
    pay "cut-$ROUND-$n" && echo "$TRANSACTION;" >> "$out/payments-$ROUND"
    # Never more than a few megabytes. Its size is told outside once it is written.
    printf '%4096s' '' >> "/var/lib/unsynced-$ROUND"
    echo $((n * 4096)) >> "$out/unsynced-$ROUND"
  done
}

if [ "$ROUND" = 1 ]; then
  mkdir -p /srv/mps
  cp /host/stacks/* /srv/mps/
  cd /srv/mps || exit
  tend install
  systemctl daemon-reload
  systemctl enable --now tend
  within 10 tend ls
  tend up || { failed starts "the first tend up ended with $?"; exit; }
  # Everything made so far stays; from here on only what programs sync themselves.
  sync
else
  cd /srv/mps || exit
  systemctl start tend
  check
fi
[ "$ROUND" = 0 ] || write

# The last round: what holds after all cuts. A claim that failed before has said so.
acknowledged=$(cat $out/payments-* 2> /dev/null | grep -c '^tx_.*;$')
ok starts "$last cuts: $(sed 's/.*ready //; s/ later//' $out/starts | tr '\n' ' ')"
[ "$(wc -l < /tmp/acknowledged)" -ge 20 ] && ok events "$(cat /tmp/events)" || failed events "too few to mean anything: $(cat /tmp/events)"
ok verify "$(tail -1 $out/verified)"
[ "$acknowledged" -ge 20 ] && ok payments "$acknowledged acknowledged, none missing" || failed payments "too few to mean anything: $acknowledged"
ok books "balanced after $last cuts"
replayed=$(wc -l < $out/replayed 2> /dev/null || echo 0)
[ "$replayed" = "$last" ] && ok disk "journal replayed $replayed times, no error" || failed disk "the journal was replayed after $replayed of $last cuts"
lost=$(wc -l < $out/lost 2> /dev/null || echo 0)
[ "$lost" -gt 0 ] && ok teeth "after $lost of $last cuts" || failed teeth "nothing was ever lost"
