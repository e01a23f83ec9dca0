#!/bin/sh
# A Buildbot worker in POSIX sh: frames on a stream (docs/protocol.md), which a program such as ssh carries.
# One session at a time; its commands run one after the other. All of its files are below STATE.
#   worker.sh --account NAME --state FOLDER [--queue cap.NAME]… [--capability NAME[=VERSION]]… -- ssh user@master
# shellcheck disable=SC2154,SC2086,SC2094,SC2015  # json.awk assigns; words are split where lists are; as intended
here=$(cd "$(dirname "$0")" && pwd)
account='' state='' queues='' abilities='' name=$(uname -n)
while [ $# -gt 0 ]; do
  case $1 in
    --account) account=$2 ;; --state) state=$2 ;; --name) name=$2 ;;
    --queue) queues="$queues${queues:+,}\"$2\"" ;;
    --capability) version=${2#*=}; [ "$version" = "$2" ] && version=null || version="\"$version\""
      abilities="$abilities${abilities:+,}{\"name\":\"${2%%=*}\",\"version\":$version}" ;;
    --) shift; break ;;
    *) echo "worker.sh: $1 is no option of mine" >&2; exit 2 ;;
  esac
  shift 2 || exit 2
done
[ -n "$account" ] && [ -n "$state" ] && [ $# -gt 0 ] || { sed -n '2,4s/^# //p' "$0" >&2; exit 2; }
case $account$name in *[!A-Za-z0-9_.-]*) echo "worker.sh: a name has letters, digits, . _ and - only" >&2; exit 2 ;; esac
umask 077
mkdir -p "$state" && state=$(cd "$state" && pwd) && cd "$state" || exit 73
D=$state/run
rm -rf "$D" "$state"/s-*
mkdir "$D" "$D/in" && mkfifo "$D/inbox" "$D/alive" "$D/out" || exit 73
# What happens is a line in the inbox, which others open to write only, and so end with us; `alive` ends with us, too.
exec 9<>"$D/inbox" 7<>"$D/alive"
log() { printf '%s %s\n' "$(date '+%F %T')" "$*" >&2; }
random() { od -An -N8 -tx1 /dev/urandom | tr -d ' \n'; }
[ -s instance ] || random >instance
read -r instance <instance
read -r epoch <epoch 2>/dev/null || epoch=0
main=$$ term=0 now=0 trash='' up='' conn=0 S='' go='' pull_n='' held='' drain='' silent=' ' known='' running=''

quote() { # a text as JSON, in $quoted
  case $1 in
    *[\"\\]*|*[[:cntrl:]]*)
      quoted=$(printf '%s' "$1" | LC_ALL=C awk 'BEGIN { for (i = 1; i < 32; i++) code[sprintf("%c", i)] = sprintf("\\u%04x", i) }
        { gsub(/\\/, "\\\\"); gsub(/"/, "\\\""); line = ""
          for (i = 1; i <= length($0); i++) { c = substr($0, i, 1); line = line (c in code ? code[c] : c) }
          printf "%s%s", (NR > 1 ? "\\n" : ""), line }') ;;
    *) quoted=$1 ;;
  esac
  quoted="\"$quoted\""
}

# ---- the connection: a program of its own, whose output a reader takes apart
reader() { # frames to files, each told in the inbox
  trap - TERM
  k=0
  while read -r size header; do
    k=$((k + 1)) f=$D/in/$1-$k
    case $size in ''|*[!0-9]*|????????*) break ;; esac
    printf '%s\n' "$header" >"$f.h"; : >"$f.b"
    have=0
    while [ "$have" -lt "$size" ]; do # dd takes what there is, and never more than it is to
      dd bs=$((size - have)) count=1 2>"$D/records" >>"$f.b"
      read -r records _ <"$D/records" # whole blocks + others
      case $records in 1+0) have=$size ;; 0+1) have=$(($(wc -c <"$f.b"))) ;; *) break 2 ;; esac
    done
    LC_ALL=C awk -v prefix=h -v then=v -v body="$f.b" -f "$here/json.awk" "$f.h" >"$f.v"
    echo "frame $1 $k" >&9
  done
  echo "lost $1" >&9
}
open_link() {
  conn=$((conn + 1)) up='' heard=$now said=$now seen=0 number=0 retry=$((now + 15))
  address=agent.$account.$instance.$(random)
  rm -f "$D/in/"*
  ( exec 7>&- 9>"$D/inbox"; sh -c 'echo $$ >"$0"; exec "$@"' "$D/conn" "$@" <"$D/out" 9>&- | reader $conn ) &
  exec 8>"$D/out"
  frame "{\"f\":\"hello\",\"version\":1,\"role\":\"agent\",\"user\":\"$account\",\"agent\":\"$name\",\"address\":\"$address\"}"
}
lost() {
  [ -n "$up" ] && log "link lost"
  exec 8>&-
  read -r pid <"$D/conn" 2>/dev/null && kill "$pid" 2>/dev/null
  up='' go='' delivery='' conn=$((conn + 1)) retry=$((now + 1))
  [ -n "$S" ] && [ -z "$held" ] && end forget
}
frame() { said=$now; printf '0 %s\n' "$1" >&8; } 2>/dev/null
say() { # to, key, type, JSON
  number=$((number + 1)) said=$now
  printf '%s {"f":"say","number":%s,"to":"%s","key":"%s",%s"message":{"type":"%s","content_type":"application/json"}}\n%s' \
    "$(($(printf '%s' "$4" | wc -c)))" $number "$1" "$2" "$expires" "$3" "$4" >&8 2>/dev/null
}
expires=''
bury() { # what came in file $1 cannot be read, because of $2
  log "not understood: $2"
  number=$((number + 1))
  { printf '%s {"f":"say","number":%s,"to":"dead","key":"%s","message":{"type":"","content_type":"","headers":{"bb-reason":"%s"}}}\n' \
    "$(($(wc -c <"$1")))" $number "$address" "$2"; cat "$1"; } >&8 2>/dev/null
}
consume() { [ -n "$up" ] && [ -z "$S$drain" ] && frame "{\"f\":\"consume\",\"queues\":[$queues],\"seen\":$seen}"; }
settle() { [ -n "$delivery" ] && frame "{\"f\":\"settle\",\"delivery\":$delivery,\"how\":\"$1\"${2:+,\"reason\":\"$2\"}}"; delivery=''; }
gone() { # session, master, request, reason
  say claims "$2" gone "{\"t\":\"gone\",\"v\":1,\"session\":\"$1\",\"request\":\"$3\",\"master\":\"$2\",\"epoch\":$epoch,\"address\":\"$address\",\"reason\":\"$4\"}"
}

# ---- offers and sessions
welcomed() {
  up=1 t=$(date +%s) epoch=$((epoch + 1)); [ "$t" -gt "$epoch" ] && epoch=$t
  echo "$epoch" >epoch
  log "link up"
  for f in "$state"/left-*; do # of a worker that was killed
    [ -f "$f" ] && read -r s m r <"$f" && [ "$s" != "$S" ] && gone "$s" "$m" "$r" lost && rm -f "$f"
  done
  [ -n "$held" ] && resume
  consume
}
offered() {
  seen=$((seen + 1)) delivery=$h_delivery
  if [ -n "$v_bad" ] || [ "$v_t" != offer ]; then settle dead 'no offer'; consume; return; fi
  if [ "$v_v" != 1 ]; then settle park; consume; return; fi
  for f in "$v_offer" "$v_request" "$v_master" "$v_user" "$v_ticket" "$v_builddir" "$v_run"; do
    case $f in ''|*[!A-Za-z0-9_.:/+=@-]*) settle dead 'a field is missing, or has what this worker cannot read'; consume; return ;; esac
  done
  case $v_builddir in */*|.|..) settle dead 'builddir is no name of a folder'; consume; return ;; esac
  case $silent in *" $v_master "*) v_seal=true ;; esac
  if [ "$v_seal" = true ] || [ "${v_locks_N:-0}" != 0 ]; then settle park; consume; return; fi
  if [ -n "$S$drain" ]; then settle back; return; fi
  S=$(random)$(random) offer=$v_offer request=$v_request master=$v_master owner=$v_user ticket=$v_ticket run=$v_run kind=$v_kind
  J=$state/s-$S dir=$state/builds/$master/$v_builddir begun=$now held='' inc='' last=0 sent=0 stored=0 flying=0 queue='' running='' pull_n='' heard_master=$now patience=8
  fence=${v_fencing:-0}
  expires='"expires":5,'; introduce claim; expires=''
}
introduce() { # type, more fields
  say claims "$master" "$1" "{\"t\":\"$1\",\"v\":1,\"session\":\"$S\",\"offer\":\"$offer\",\"request\":\"$request\",\"master\":\"$master\",\"run\":$run,\"instance\":\"$instance\",\"agent\":\"$name\",\"epoch\":$epoch,\"address\":\"$address\",\"ticket\":\"$ticket\",\"kind\":\"$kind\",\"capabilities\":[$abilities],\"worker\":{\"version\":\"4.3.0\",\"basedir\":\"$state/builds/$master\",\"host\":\"$name, sh\",\"worker_commands\":{\"shell\":\"3.3\",\"mkdir\":\"3.3\",\"rmdir\":\"3.3\",\"rmfile\":\"3.3\",\"cpdir\":\"3.3\",\"listdir\":\"3.3\",\"stat\":\"3.3\",\"uploadFile\":\"3.3\",\"downloadFile\":\"3.3\"}}$2}"
}
resume() {
  resumed=$now list=''
  for f in "$J"/c/*; do
    [ -d "$f" ] || continue
    read -r digest <"$f/digest"
    [ -e "$f/done" ] && t=true || t=false
    list="$list${list:+,}{\"n\":${f##*/},\"digest\":\"$digest\",\"completed\":$t}"
  done
  introduce resume ",\"commands\":[$list]"
}
end() { # what becomes of the offer
  [ -n "$running" ] && stop_command "$running"
  [ "$1" = forget ] || settle "$1"
  rm -rf "$J" "$state/left-$S"
  log "session over: $1"
  S='' held='' running=''
  [ -n "$drain" ] && leave
  consume
}
fail() { log "session fails: $1"; gone "$S" "$master" "$request" "$1"; end back; }
leave() { [ -n "$up" ] && frame '{"f":"bye","reason":"the worker leaves"}'; kill "$ticker" 2>/dev/null; exit 0; }

told() {
  t=$D/in/$conn-$k.b
  [ "$h_exchange" = bb.control ] && [ -n "$h_user" ] && [ -z "$h_message_headers_x_death" ] || return
  [ "$h_key" = "$address" ] || [ "$h_key" = all ] || return
  if [ -n "$v_bad" ] || [ -z "$v_t" ]; then bury "$t" 'not JSON of the protocol'; return; fi
  case $v_v in 1) ;; *) bury "$t" 'a version that is not spoken here'; return ;; esac
  case $v_session$v_incarnation$v_master in *[!A-Za-z0-9_.:-]*) bury "$t" 'a name that is none'; return ;; esac
  [ -n "$v_master" ] && [ -n "$v_incarnation" ] && case $known in *" $v_incarnation=$v_master "*) ;; *)
    known=" $v_incarnation=$v_master $(echo "$known" | cut -d' ' -f1-40)" ;; esac
  m=$v_master
  [ -z "$m" ] && [ -n "$v_incarnation" ] && case $known in *" $v_incarnation="*) m=${known#*" $v_incarnation="} m=${m%% *} ;; esac
  case $silent in *" $m "*) silent=${silent%%" $m "*}" "${silent#*" $m "} ;; esac
  [ "$v_t" = rollcall ] && [ -n "$held" ] && [ "$m" = "$master" ] && [ "$h_user" = "$owner" ] && resume
  [ -n "$v_session" ] || return
  if [ "$v_session" != "$S" ]; then [ -n "$m" ] && gone "$v_session" "$m" unknown unknown; return; fi
  [ "$h_user" = "$owner" ] || return
  case $v_t in grant|release) ;; *) [ -n "$v_incarnation" ] && [ "$v_incarnation" != "$inc" ] && return ;; esac
  heard_master=$now patience=8
  if [ -z "$held" ]; then
    case $v_t:$v_re in grant:) granted ;; refuse:claim) end ack ;; later:*) end park ;; esac
    return
  fi
  case $v_t in
    grant) granted ;;
    refuse) if [ "$v_re" = claim ]; then resume; else end back; fi ;;
    start) start ;;
    interrupt) interrupt ;;
    stored|ping) advance ;;
    replay) rewind ;;
    data) fed ;;
    release) end ack ;;
  esac
}
granted() {
  case $v_stored:$v_run in *[!0-9:]*|:*|*:) return ;; esac
  case $v_ticket in ''|*[!A-Za-z0-9_.:/+=@-]*) return ;; esac
  ticket=$v_ticket run=$v_run
  if [ -z "$held" ]; then
    mkdir -p "$dir" "$J/c" "$J/e" "$J/f" "$J/early" || { fail disk; return; }
    echo "$S $master $request" >"$state/left-$S"
    held=1 resumed=$now progress=$now
  fi
  go=1
  if [ "$v_incarnation" != "$inc" ]; then inc=$v_incarnation; rm -f "$J"/f/*; fi
  rewind || return
  introduce accept ",\"incarnation\":\"$inc\""
  publish
}

# ---- events: files, numbered by the name under which they are known
rewind() {
  if [ "$v_stored" -gt "$last" ]; then fail lost; return 1; fi
  stored=$v_stored sent=$v_stored flying=0
  [ "$v_t" = grant ] || publish
}
advance() {
  [ "$v_stored" -gt "$last" ] && { fail lost; return; }
  [ "$v_stored" -gt "$stored" ] || return
  while [ "$stored" -lt "$v_stored" ]; do
    stored=$((stored + 1))
    [ "$stored" -le "$sent" ] && eval "flying=\$((flying - z_$stored))"
  done
  [ "$sent" -lt "$stored" ] && sent=$stored flying=0
  progress=$now
  publish
}
publish() { # after a new connection not before the grant: what was under way on the former one comes first
  while [ -n "$go" ] && [ "$sent" -lt "$last" ] && [ $((sent - stored)) -lt 64 ]; do
    seq=$((sent + 1))
    eval "u=\$u_$seq size=\$z_$seq"
    [ "$flying" -gt 0 ] && [ $((flying + size)) -gt 2097152 ] && return
    read -r n what rest <"$J/e/$u"
    [ -e "$J/f/$n" ] || return
    number=$((number + 1)) said=$now
    if [ "$size" -gt 0 ]; then # its JSON in a header, which is JSON itself
      printf '%s {"f":"say","number":%s,"to":"events","key":"%s","message":{"type":"event","content_type":"application/octet-stream","headers":{"bb":"{\\"t\\":\\"event\\",\\"v\\":1,\\"session\\":\\"%s\\",\\"n\\":%s,\\"seq\\":%s,\\"kind\\":\\"%s\\"}"}}}\n' \
        "$size" $number "$master" "$S" "$n" $seq "$what" && cat "$J/e/$u.d"
    else
      say events "$master" event "{\"t\":\"event\",\"v\":1,\"session\":\"$S\",\"n\":$n,\"seq\":$seq,\"kind\":\"$what\"${rest:+,}$rest}"
    fi >&8 2>/dev/null
    sent=$seq flying=$((flying + size)) progress=$now
  done
}
emit() { # n, kind, more of its JSON; of the worker itself
  count=$((count + 1))
  printf '%s %s %s\n' "$1" "$2" "$3" >"$J/e/m$count"
  journalled "m$count" 0
}
journalled() { last=$((last + 1)); eval "u_$last=\$1 z_$last=\$2"; publish; }
count=0

# ---- commands
start() {
  n=$v_command_n c=$J/c/$n
  case $n in ''|*[!0-9]*) return ;; esac
  case $v_command_digest in ''|*[!A-Za-z0-9_.:-]*) return ;; esac
  : >"$J/f/$n"
  if [ -d "$c" ]; then
    read -r digest <"$c/digest"
    if [ "$digest" = "$v_command_digest" ]; then publish; else fail diverged; fi
    return
  fi
  mkdir "$c"
  echo "$v_command_digest" >"$c/digest"
  mv "$D/in/$conn-$k.v" "$c/vars"
  [ -e "$J/early/$n" ] && mv "$J/early/$n" "$c/interrupted"
  queue="$queue $n"
  next
}
next() { # the next command, where none runs
  [ -z "$running" ] && [ -n "$queue" ] || return
  set -- $queue
  running=$1; shift; queue=$*
  # shellcheck source=/dev/null
  . "$J/c/$running/vars"
  quote "$v_command_name"
  emit "$running" started "\"value\":{\"name\":$quoted,\"digest\":\"$v_command_digest\"}"
  # shellcheck source=/dev/null
  ( trap - TERM; exec 7>&- 8>&- 9>"$D/inbox"; n=$running c=$J/c/$running; . "$here/commands.sh"; run_command ) 2>/dev/null &
  unset $names
}
finished() { # n
  : >"$J/c/$1/done"
  why=null value=null
  if [ -e "$J/c/$1/interrupted" ]; then quote "$(cat "$J/c/$1/interrupted")"; why=$quoted; fi
  if [ -e "$J/c/$1/failure" ]; then quote "$(cat "$J/c/$1/failure")"; value=$quoted; fi
  running=''
  emit "$1" completed "\"value\":$value,\"interrupted\":$why"
  next
}
interrupt() {
  c=$J/c/$v_n
  case $v_n in ''|*[!0-9]*) return ;; esac
  if [ ! -d "$c" ]; then printf '%s' "$v_reason" >"$J/early/$v_n"; return; fi
  [ -e "$c/done" ] || [ -e "$c/interrupted" ] && return
  printf '%s' "$v_reason" >"$c/interrupted"
  stop_command "$v_n"
}
stop_command() {
  [ -p "$J/c/$1/fed" ] && echo over >"$J/c/$1/fed"
  [ -s "$J/c/$1/pid" ] && read -r pid <"$J/c/$1/pid" && kill -s KILL -- "-$pid" 2>/dev/null
}
pull() { # n, offset
  pull_n=$1 pull_offset=$2 asked=$now
  say events "$master" pull "{\"t\":\"pull\",\"v\":1,\"session\":\"$S\",\"n\":$1,\"offset\":$2,\"length\":262144}"
}
fed() {
  [ "$v_n" = "$pull_n" ] && [ "$v_offset" = "$pull_offset" ] || return
  if [ -n "$bulk" ]; then mv "$D/in/$conn-$k.b" "$J/c/$v_n/piece"; else : >"$J/c/$v_n/piece"; fi
  pull_n=''
  echo "$v_size" >"$J/c/$v_n/fed"
}

# ---- time
tick() {
  now=$((now + 1))
  if [ -z "$up" ]; then
    if [ "$now" -ge "$retry" ]; then kill_link; open_link "$@"; fi
    return
  fi
  if [ $((now - heard)) -gt 15 ]; then log "nothing is heard"; lost; return; fi
  [ $((now - said)) -ge 5 ] && frame '{"f":"beat"}'
  [ $((now % 5)) = 0 ] && consume
  [ -n "$S" ] || return
  if [ -z "$held" ]; then
    if [ $((now - begun)) -gt 5 ]; then silent="$silent$master "; end park; fi
    return
  fi
  if [ "$fence" != 0 ] && [ -n "$running" ] && [ $((now - heard_master)) -gt "${fence%%.*}" ]; then fail killed; return; fi
  [ -n "$pull_n" ] && [ $((now - asked)) -ge 5 ] && pull "$pull_n" "$pull_offset"
  if [ "$sent" -gt "$stored" ] && [ $((now - progress)) -ge 5 ] && [ "$heard_master" -gt "$progress" ]; then v_stored=$stored v_t=''; rewind; fi
  t=$heard_master; [ "$resumed" -gt "$t" ] && t=$resumed
  if [ $((now - t)) -gt "$patience" ]; then
    patience=$((patience * 2)); [ "$patience" -gt 60 ] && patience=60
    resume
  fi
}
kill_link() { exec 8>&-; [ -s "$D/conn" ] && read -r pid <"$D/conn" && kill "$pid" 2>/dev/null; rm -f "$D/conn"; }
ending() {
  if [ -n "$drain" ] && [ -n "$S" ]; then fail killed; fi
  drain=1
  [ -n "$S" ] && [ -z "$held" ] && end back
  [ -n "$S" ] || leave
}
trap : PIPE
trap 'term=$((term + 1))' TERM INT
( trap - TERM; exec 7>&- 9>"$D/inbox"; while sleep 1 && kill -0 $main 2>/dev/null; do echo tick >&9; done ) &
ticker=$!
open_link "$@"
while :; do
  read -r what a b c <&9 || what=''
  while [ $term -gt 0 ]; do term=$((term - 1)); ending; done
  case $what in
    tick) tick "$@" ;;
    frame)
      if [ "$a" != "$conn" ]; then continue; fi
      k=$b heard=$now
      # shellcheck source=/dev/null
      . "$D/in/$a-$b.v"
      if [ -n "$h_bad" ]; then lost; else
        case $h_f in
          welcome) welcomed ;; offered) offered ;; told) told ;;
          denied|bye) log "the master says: $h_reason"; lost ;;
        esac
      fi
      unset $names
      trash="$trash run/in/$a-$b.h run/in/$a-$b.b run/in/$a-$b.v"
      if [ $((k % 16)) = 0 ]; then rm -f $trash; trash=''; fi ;;
    lost) [ "$a" = "$conn" ] && { lost; retry=$((now + 1)); } ;;
    ev) [ "$a" = "$S" ] && journalled "$b" "$c" ;;
    pull) [ "$a" = "$S" ] && pull "$b" "$c" ;;
    done) [ "$a" = "$S" ] && finished "$b" ;;
  esac
done
