# HTTP without a process for each request: user-mode Linux takes long to start one. Sourced by scenarios.
# shellcheck shell=bash

EDGE_PORT=8080

# request METHOD PATH [BODY [KEY]]: one request to the edge. Sets STATUS (empty when there was no whole answer) and BODY.
request() {
  local method=$1 path=$2 body=${3:-} key=${4:-} answer='' head length socket
  STATUS='' BODY=''
  { exec {socket}<> "/dev/tcp/127.0.0.1/$EDGE_PORT"; } 2> /dev/null || return 1
  printf '%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s' \
    "$method" "$path" "${key:+Idempotency-Key: $key$'\r\n'}" "${#body}" "$body" >&"$socket" 2> /dev/null
  # With a count it reads what there is; without one bash reads a socket byte by byte.
  IFS= read -r -N 1000000 -t 10 -u "$socket" answer 2> /dev/null
  exec {socket}>&-
  head=${answer%%$'\r\n\r\n'*}
  BODY=${answer#*$'\r\n\r\n'}
  if [[ ${head,,} =~ content-length:\ ([0-9]+) ]]; then length=${BASH_REMATCH[1]}; else length=-1; fi
  # A cut answer is none.
  if [[ $head =~ ^HTTP/1\.1\ ([0-9]+) && ${#BODY} == "$length" ]]; then STATUS=${BASH_REMATCH[1]}; else return 1; fi
}

# field NAME: the value of a string or number in BODY.
field() {
  [[ $BODY =~ \"$1\":\ ?\"?([^\",}]*) ]] && printf -v "$2" '%s' "${BASH_REMATCH[1]}"
}

# pay KEY: rotates the code of the demo card and pays with it. Sets TRANSACTION when the payment was acknowledged.
pay() {
  local code
  TRANSACTION=''
  request POST /api/qr/rotate '{"card_id":"test-card-id","ttl_seconds":300}' || return 1
  field qr_plain code || return 1
  request POST /api/payment/pay "{\"merchant_id\":\"merchant-01\",\"qr_plain\":\"$code\",\"amount\":10}" "$1" || return 1
  [ "$STATUS" = 201 ] || [ "$STATUS" = 200 ] || return 1
  field transaction_id TRANSACTION
}
