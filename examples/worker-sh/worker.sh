#!/bin/sh
# A Buildbot worker in POSIX sh: frames on a stream (docs/protocol.md), which a program such as ssh carries.
# One build at a time, beside it what operators ask for; the commands of each one after the other. Its files: in FOLDER.
#   worker.sh ACCOUNT FOLDER 'cap.NAME …' 'CAPABILITY[=VERSION] …' ssh user@master
# shellcheck disable=SC2015,SC2016,SC2030,SC2031,SC2034,SC2086,SC2154  # A && B || C, sh -c, lists, pipes, json.awk
[ $# -gt 4 ] || { sed -n '2,4s/^# //p' "$0" >&2; exit 2; }
case $1$2$3$4 in *[\"\\]*) echo "worker.sh: no quotes or backslashes in names, please" >&2; exit 2 ;; esac
here=$(cd "$(dirname "$0")" && pwd) account=$1 locale=${LC_ALL-} queues='' abilities='' able=''
export LC_ALL=C # the length of a text is that of its bytes
for word in $3; do queues="$queues${queues:+,}\"$word\""; done
for word in shell mkdir rmdir rmfile cpdir stat uploadFile downloadFile; do able="$able,\"$word\":\"3.3\""; done
for word in $4; do
  case $word in *=*) version="\"${word#*=}\"" ;; *) version=null ;; esac
  abilities="$abilities${abilities:+,}{\"name\":\"${word%%=*}\",\"version\":$version}"
done
mkdir -p "$2" && cd "$2" && rm -rf run.* && mkdir -m 700 run.$$ && mkfifo run.$$/inbox && state=$(pwd) || exit 73
# What happens is a line in the inbox. Others open it to write only: at the next line they end, when this process has.
D=$state/run.$$; exec 9<>"$D/inbox" 3>&2 2>/dev/null; read -r instance </proc/sys/kernel/random/uuid
# What is known of a session; while another one is spoken of, in S_0 etc. 0 is a build's, the others are operators'.
own='S held offer request master owner ticket run kind fencing delivery J base dir incarnation go begun last sent stored
  total progress pull commands ended gate due heard_master'
unset $own names; now=0 epoch=0 up='' link='' drain='' silent='' count=0 at=0 used=0 wants='' next=0
at() { # this session is spoken of from now on
  [ "$1" = "$at" ] || for own_ in $own; do eval "${own_}_$at=\$$own_ $own_=\${${own_}_$1-}"; done
  at=$1
}
find() { for k in $used; do at "$k"; eval "$1" && return; done; false; } # the first session of which this is true
log() { printf '%s %s\n' "$(date '+%F %T')" "$*" >&3; }
# ---- the connection: a program, and a reader of what it says; each time with a folder and pipes of their own
open_link() {
  epoch=$((epoch + 1)) heard=$now seen=0; address=agent.$account.$instance.$epoch
  hello="\"agent\":\"$account\",\"address\":\"$address\""; self="\"instance\":\"$instance\",\"epoch\":$epoch,$hello"
  mkdir "$D/$epoch" && mkfifo "$D/$epoch/in" "$D/$epoch/out" && link=$epoch || return
  exec 7<>"$D/$link/out"; exec 8>"$D/$link/out" # 7: until it reads. A wait here ends with any child (busybox)
  setsid "$@" <"$D/$link/out" >"$D/$link/in" 2>&3 7>&- 8>&- 9>&- & client=$!
  ( exec 7>&- 8>&- 9>"$D/inbox"; reader "$link" <"$D/$link/in" ) &
  frame "\"hello\",\"version\":1,\"role\":\"agent\",\"user\":\"$account\",$hello"
}
reader() { # frames, each to a file
  k=0; while read -r length header; do
    case $length in '' | *[!0-9]* | 0?* | ????????*) break ;; esac
    case $header in *'"f":"answer"'* | *'"f":"beat"'*) echo "alive $1" >&9; continue ;; esac
    k=$((k + 1))
    { printf '%s\n' "$header"; [ "$length" = 0 ] || dd bs="$length" count=1 iflag=fullblock; } >"$D/$1/$k" || break
    echo "frame $1 $k" >&9
  done
  echo "lost $1" >&9
}
hang_up() {
  log "no link to the master"
  exec 7>&- 8>&-; kill -s KILL -- "-$client" "$client"; rm -rf "${D:?}/$link"
  link='' up=''; find 'go="" delivery=""; [ -n "$held" ] || S=""; false'
}
frame() { printf '0 {"f":%s}\n' "$1" >&8; }
say() { # to, type, its JSON, more of the frame
  text="{\"t\":\"$2\",\"v\":1,$3}"
  printf '%s {"f":"say","number":0,"to":"%s","key":"%s",%s"message":{"type":"%s","content_type":"%s"}}\n%s' \
    ${#text} "$1" "$master" "$4" "$2" application/json "$text" >&8
}
consume() { at 0; [ -n "$up" ] && [ -z "$S$drain" ] && frame "\"consume\",\"queues\":[$queues],\"seen\":$seen"; }
settle() { # what becomes of the offer; then another one may come
  [ -z "$delivery" ] || frame "\"settle\",\"delivery\":$delivery,\"how\":\"$1\",\"reason\":\"no offer\""; consume
}
came() { # a frame, in this file
  heard=$now frame=$1 vars=$(awk -f "$here/json.awk" "$1")
  case $vars in *whole=1) ;; *) vars='h_bad=1 names=h_bad' ;; esac # there was no room for awk
  unset $names; eval "$vars"
  case $h_bad$h_f in
    welcome | offered | told) "$h_f" ;;
    denied | bye | 1*) log "the master says: $h_reason"; hang_up ;;
  esac
  rm -f "$frame"
}
# ---- offers and sessions
welcome() {
  log "linked to the master"; exec 7>&-; up=1
  find '[ -z "$held" ] || resume; false'; consume; status
}
weigh() { # what becomes of an offer that cannot be claimed
  fate=dead; case "$v_bad|$v_t|$v_v|$v_offer|$v_request|$v_master|$v_user|$v_ticket|$v_builddir|$v_run|" in
    *'||'* | *'|.|'* | *'|..|'* | *[!A-Za-z0-9_.:/+=@\|-]*) ;;
    '|offer|1|'*) case $v_seal:$v_master$v_builddir in true:* | *:*/*) fate=park ;; *) fate='' ;; esac ;;
    '|offer|'*) fate=park ;;
  esac
}
offered() {
  at 0; seen=$((seen + 1)) delivery=$h_delivery; weigh
  [ "$v_direct" != true ] || fate=${fate:-dead}
  fate=${fate:-${silent:+park}}; [ -z "$S$drain" ] || fate=${fate:-back}
  if [ -n "$fate" ]; then settle "$fate"; else claim "$v_master"; fi
}
told_offer() { # an operator's (rule 26): claimed beside whatever runs, or dropped
  weigh
  [ "$v_direct:$v_kind:$fate$drain" = true:build: ] && [ "$v_user" = "$h_user" ] && [ -n "$v_fencing" ] || return
  used='0 1 2 3 4'
  find '[ -n "$S" ] && [ "$offer" = "$v_offer" ]' || { find '[ "$k" != 0 ] && [ -z "$S" ]' && claim .operators; }
}
claim() { # of the master with this folder
  count=$((count + 1)) S=$instance-$epoch-$count offer=$v_offer request=$v_request master=$v_master owner=$v_user
  ticket=$v_ticket run=$v_run kind=$v_kind fencing=${v_fencing%%.*} J=$D/$S base=$state/builds/$1/slot-$at
  dir=$base/$v_builddir incarnation='' last=0 sent=0 stored=0 total=0 pull='' commands=' ' ended=' ' gate=' '
  due=$((now + 5)) begun=$now progress=$now
  introduce claim '' '"expires":5,'
}
pace() { # how often the status is told: as one of the masters wants that were heard within 15 s (rule 27)
  new=${1-}; set -- ${new:+$new:$now} $wants; wants='' every=61; for word; do # of all that want the same, one counts
    [ $((now - ${word#*:})) -gt 15 ] || case $wants in *" ${word%:*}:"*) ;; *)
      wants="$wants $word"; [ "${word%:*}" -gt "$every" ] || every=${word%:*} ;; esac
  done; [ "$every" != 61 ] || every=5
}
status() { # to the fleet, and whoever asks
  pace; time=$(date +%s) list='' next=$((now + every))
  find 'more=${S:+",\"session\":\"$S\",\"master\":\"$master\",\"since\":$((time - now + begun))"} slot=${S:+claiming}
    [ "$k" = 0 ] || more="$more,\"direct\":true"; [ -z "$held" ] || slot=held
    [ "$k" != 0 ] && [ -z "$S" ] || list="$list${list:+,}{\"state\":\"${slot:-idle}\"$more}"; false'
  say fleet status "$self,\"version\":\"sh\",\"now\":$time,\"state\":\"${drain:-ready}\",\"slots\":[$list],
\"queues\":[$queues],\"capabilities\":[$abilities],\"direct\":true,\"every\":$every"
}
introduce() { # type, more fields, more of the frame
  say claims "$1" "\"session\":\"$S\",\"offer\":\"$offer\",\"request\":\"$request\",\"master\":\"$master\",\"run\":$run,
$self,\"ticket\":\"$ticket\",\"kind\":\"$kind\",
\"capabilities\":[$abilities],\"worker\":{\"version\":\"4.3.0\",\"basedir\":\"$base\",
\"worker_commands\":{${able#,}}}$2" "$3"
}
resume() {
  due=$((now + 8)) list=''
  for word in $commands; do # NUMBER:DIGEST
    case $ended in *" ${word%%:*} "*) completed=true ;; *) completed=false ;; esac
    list="$list${list:+,}{\"n\":${word%%:*},\"digest\":\"${word#*:}\",\"completed\":$completed}"
  done
  introduce resume ",\"commands\":[$list]"
}
gone() { say claims gone "\"session\":\"$1\",\"request\":\"$2\",\"reason\":\"$3\",\"master\":\"$master\",$self"; }
fail() { gone "$S" "$request" "$1"; end back; }
end() { # what becomes of the offer
  [ ! -d "$J/turn" ] || { rm -rf "$J"; sleep 2; } # within which `watch` ends what runs
  rm -rf "$J"; S='' held=''; settle "$1"
}
told() {
  [ "$h_exchange" = bb.control ] && [ -n "$h_user" ] && [ -z "$h_message_headers_x_death" ] || return
  case $h_key in tell) status; return ;; all | "$address") ;; *) return ;; esac
  numbers="$v_n|$v_command_n|$v_offset|$v_size|$v_stored|$v_run" names_in="$v_session$v_incarnation$v_ticket$v_master"
  case "$v_bad|$v_v|$numbers|x$names_in$v_command_digest" in
    [!\|]* | '|'[!1]* | '|1'[!\|]* | '|1|'*[!0-9\|]*'|'* | *'|0'[0-9]* | *[!A-Za-z0-9_.:/+=@\|-]*)
      log "a message is not understood"; return ;;
  esac
  silent=''; case $v_t:$v_status_every in
    offer:*) told_offer; return ;;
    alive: | alive:[5-9] | alive:[1-5][0-9] | alive:60) pace "${v_status_every:-5}" ;;
    rollcall:*) next=0; find '[ "$v_master:$h_user:$held" != "$master:$owner:1" ] || resume; false' ;;
  esac
  [ -n "$v_session" ] || return
  find '[ "$S" = "$v_session" ]' || { ( master=${v_master:-$master}; gone "$v_session" unknown unknown ); return; }
  [ "$h_user" = "$owner" ] || return
  case $v_t:$v_incarnation in grant:* | release:* | *: | *:"$incarnation") ;; *) return ;; esac
  heard_master=$now due=$((held ? now + 8 : due))
  case $held$v_t:$v_re in
    grant: | 1grant:) granted ;;
    refuse:claim | 1release:) end ack ;; later:) end park ;;
    1refuse:claim) resume ;; 1refuse:*) end back ;;
    1stored: | 1ping: | 1replay:) advance ;;
    1start: | 1data:) "$v_t" ;;
    1interrupt:) mkdir -p "$J/$v_n" && printf '%s\n' "$v_reason_json" >"$J/$v_n/interrupted" ;;
  esac
}
granted() {
  [ -n "$held" ] || mkdir "$J" || { fail disk; return; }
  [ "$v_incarnation" = "$incarnation" ] || gate=' '
  ticket=$v_ticket run=$v_run incarnation=$v_incarnation held=1 go=1
  introduce accept ",\"incarnation\":\"$incarnation\""; advance
}
# ---- events, numbered as they come
journal() { # number of its command, kind, size, and a file of so many bytes; or JSON, where the size is 0
  last=$((last + 1)) total=$((total + $3))
  eval "n_${at}_$last=\$1 what_${at}_$last=\$2 size_${at}_$last=\$3 rest_${at}_$last=\$4 upto_${at}_$last=\$total"
  [ "$2" != completed ] || ended="$ended$1 " pull=''; publish
}
advance() { # the master has stored so many; after a grant or replay the others come again
  [ "$v_stored" -le "$last" ] || { fail lost; return; }
  [ "$v_stored" = "$stored" ] || stored=$v_stored progress=$now
  case $v_t:$((sent < stored)) in grant:* | replay:* | *:1) sent=$stored ;; esac
  publish
}
publish() { # after a new connection not before the grant: what was under way on the former one comes first
  while [ -n "$go" ] && [ "$sent" -lt "$last" ] && [ $((sent - stored)) -lt 64 ]; do
    seq=$((sent + 1))
    eval "n=\$n_${at}_$seq what=\$what_${at}_$seq size=\$size_${at}_$seq rest=\$rest_${at}_$seq"
    eval "ahead=\$((upto_${at}_$seq - \${upto_${at}_$stored:-0}))"
    case $gate in *" $n "*) [ "$ahead" -le 2097152 ] || return ;; *) return ;; esac
    sent=$seq progress=$now
    if [ "$size" = 0 ]; then
      say events event "\"session\":\"$S\",\"n\":$n,\"seq\":$sent,\"kind\":\"$what\",$rest"
    else # its JSON is in the header, which is JSON itself
      printf '%s {"f":"say","number":0,"to":"events","key":"%s","message":{"type":"event",' "$size" "$master"
      printf '"content_type":"application/octet-stream","headers":{"bb":"{\\"t\\":\\"event\\",\\"v\\":1,'
      printf '\\"session\\":\\"%s\\",\\"n\\":%s,\\"seq\\":%s,\\"kind\\":\\"%s\\"}"}}}\n' "$S" "$n" "$seq" "$what"
      cat "$rest"
    fi >&8
  done
}
# ---- commands: each in a process of its own, with a folder of its own
start() {
  n=$v_command_n word=$n:$v_command_digest gate="$gate$v_command_n "
  case $commands in *" $word "*) publish; return ;; *" $n:"*) fail diverged; return ;; esac
  mkdir -p "$J/$n" || { fail disk; return; }
  commands="$commands$word "
  ( exec 3>&- 8>&- 9>"$D/inbox"; run_command "$J/$n" ) &
}
pull() { pull="$1 $2"; say events pull "\"session\":\"$S\",\"n\":$1,\"offset\":$2,\"length\":262144"; }
data() {
  [ "$v_n $v_offset" = "$pull" ] && pull='' || return
  { read -r _; [ -z "$bulk" ] || cat; } <"$frame" >>"$J/$v_n/got" || { fail disk; return; }
  size=$(($(wc -c <"$J/$v_n/got")))
  if [ "$size" -lt "$v_size" ] && [ -n "$bulk" ]; then pull "$v_n" "$size"; else echo "$v_size" 1<>"$J/$v_n/told"; fi
}
event() { printf 'journal %s %s %s %s %s\n' "$S" "$n" "$1" "$2" "$3" >&9; } # kind, size and file; or kind, 0 and JSON
update() { event update 0 "\"value\":[\"$1\",$2]"; }
late() { [ -e "$c/late" ] || update failure_reason "\"$1\""; : >"$c/late"; }
stopped() { [ -e "$c/interrupted" ] || [ -e "$c/late" ] || [ ! -d "$c" ]; }
pieces() { # standard input, as events of this kind
  piece=0
  while piece=$((piece + 1)) file=$c/$1-$piece; dd bs=65536 count=1 >"$file" || { echo "fail $S disk" >&9; return; }; do
    size=$(($(wc -c <"$file")))
    [ "$size" -gt 0 ] || return
    event "$1" "$size" "$file"; echo x >"$c/heard"
  done
}
run_command() { # number $n, with this folder, in a process of its own. What it says goes to the inbox
  until mkdir "$J/turn"; do sleep 1; [ -d "$J" ] && echo waiting >&9 || exit; done
  event started 0 "\"value\":{\"name\":$v_command_name_json,\"digest\":\"$v_command_digest\"}"
  c=$1 kind=stdout failure=null rc=-1 workdir=${v_command_args_workdir:-.}
  mkdir -p "$dir" && cd "$dir" && mkdir -p -- "$workdir" && cd -- "$workdir" || failure='"its folder cannot be made"'
  case $v_command_name in
    shell)
      eval "set -- ${v_command_args_command_words:-/bin/sh -c \"\$v_command_args_command\"}"
      printf '%s\n in dir %s\n' "${v_command_args_command_shown-$v_command_args_command}" "$PWD" | pieces header ;;
    mkdir) set -- mkdir -p -- "$v_command_args_dir" ;;
    rmdir) eval "set -- rm -rf -- ${v_command_args_dir_words:-\"\$v_command_args_dir\"}" ;;
    rmfile) set -- rm -- "$v_command_args_path" ;;
    cpdir) set -- sh -c '[ ! -d "$0" ] || { mkdir -p "$1" && set -- "$1" /.; }; cp -R -P -p "$0$2" "$1"' \
      "$v_command_args_fromdir" "$v_command_args_todir" ;;
    stat)
      numbers=$(stat -L -c '%f,%i,%d,%h,%u,%g,%s,%X,%Y,%Z' "$v_command_args_file") &&
        update stat "[$((0x${numbers%%,*})),${numbers#*,}]"
      set -- sh -c '[ -n "$1" ] || { [ -e "$0" ] && exit 1; exit 2; }' "$v_command_args_file" "$numbers" ;;
    uploadFile)
      kind='write'; set -- sh -c 'head -c "$1" <"$0" && [ "$(wc -c <"$0")" -le "$1" ]' "$v_command_args_workersrc" \
        "${v_command_args_maxsize:-2147483647}" ;;
    downloadFile)
      set -- sh -c 'mkfifo "$0/told" && exec 6<>"$0/told" && echo "pull $1 0" >"$2" && read -r size <&6 || exit
        [ "${3:-$size}" -ge "$size" ] || { echo "larger than $3 bytes" >&2; exit 1; }
        [ -z "$4" ] || chmod "$(printf %o "$4")" "$0/got" || exit
        mkdir -p "$(dirname "$5")" && mv "$0/got" "$5"' \
        "$c" "$S $n" "$D/inbox" "$v_command_args_maxsize" "$v_command_args_mode" "$v_command_args_workerdest" ;;
    *) failure="\"unrecognized WorkerCommand ${v_command_name_json#?}" ;;
  esac
  [ "$failure" != null ] || stopped || perform "$@"
  [ "$kind" = stdout ] || event writer 0 '"value":["close"]'
  update rc "$rc"
  read -r why <"$c/interrupted" || why=null; rmdir "$J/turn"
  event completed 0 "\"value\":$failure,\"interrupted\":$why"
}
perform() { # a program, in a group of its own
  mkfifo "$c/out" "$c/err" && printf %s "$v_command_args_initial_stdin" >"$c/in" || { echo "fail $S disk" >&9; return; }
  pieces "$kind" <"$c/out" & readers=$!
  pieces stderr <"$c/err" & readers="$readers $!"
  ( export LC_ALL="$locale" PWD; eval "$v_command_args_env_set"
    exec setsid "$@" ) <"$c/in" >"$c/out" 2>"$c/err" 9>&- & pid=$!
  watch & watch=$!; wait "$pid" && rc=0 || rc=$?
  wait $readers # until nobody has their pipes any more
  kill -s KILL -- "-$pid" "$watch"; stopped && rc=-1 # what it has left behind, and who watches it
}
watch() { # once a second: ends what takes too long, is interrupted, or has lost its worker
  quiet=0 all=0 timeout=${v_command_args_timeout%%.*} most=${v_command_args_maxTime%%.*}
  trap '' PIPE
  while sleep 1; do
    quiet=$((quiet + 1)) all=$((all + 1))
    [ -s "$c/heard" ] && quiet=0 && : >"$c/heard"
    [ "${timeout:-0}" = 0 ] || [ "$quiet" -le "$timeout" ] || late timeout_without_output
    [ "${most:-0}" = 0 ] || [ "$all" -lt "$most" ] || late timeout
    stopped || ! echo watched >&9 || continue
    kill -s KILL -- "-$pid"; sleep 1; kill $readers # a child that has left the group may have their pipes
  done
}
# ---- time, and what else happens
tick() {
  find '[ -z "$held" ] || [ -z "$fencing" ] || [ $((now - heard_master)) -le "$fencing" ] || fail killed; false'
  [ -n "$link" ] || { open_link "$@"; return; }
  [ $((now - heard)) -le 15 ] || hang_up; [ -n "$up" ] || return
  [ $((now % 5)) != 0 ] || { frame '"beat"'; consume; pace
    [ "$now" -lt "$next" ] && [ $(((now / 5 + $$) % (every / 5))) != 0 ] || status; } # of a new interval at any moment
  find '[ -z "$S" ] || tend; false'
}
tend() { # a session
  [ $((now % 5)) != 0 ] || [ -z "$pull" ] || pull $pull
  [ -n "$held" ] || { [ "$now" -le "$due" ] || { [ "$at" != 0 ] || silent=1; end park; }; return; }
  [ "$heard_master" -gt "$progress" ] && [ $((now - progress)) -ge 5 ] && sent=$stored && publish
  [ "$now" -le "$due" ] || resume
}
trap : PIPE; trap 'drain=draining' TERM INT
( exec 9>"$D/inbox"; while sleep 1 && echo tick >&9; do :; done ) & shift 4
while :; do
  read -r what of a b size rest <&9 || what=''
  case $what:$of in
    tick:) now=$((now + 1)); tick "$@" ;;
    frame:"$link") came "$D/$link/$a" ;;
    alive:"$link") heard=$now ;; lost:"$link") hang_up ;;
    journal:* | pull:* | fail:*) find '[ "$S" = "$of" ]' && "$what" "$a" "$b" "$size" "$rest" ;;
  esac
  [ -z "$drain" ] || find '[ -n "$held" ]' || { frame '"bye","reason":"the worker leaves"'; exit 0; }
done
