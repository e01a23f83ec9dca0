# shellcheck shell=sh disable=SC2154,SC2086,SC2046  # worker.sh and json.awk assign; words are split where lists are
# Buildbot's remote commands; read by worker.sh in a process of the command's own. $n: its number, $c: its folder, $J the
# session's, $dir the builder's folder. v_command_args_…: its arguments. What it says goes to the inbox, event by event.
made=0
event() { # kind, rest of its JSON [, size of its data, which is in $J/e/$u.d]
  [ -n "$3" ] || { made=$((made + 1)) u=$n-$1-$made; }
  printf '%s %s %s\n' "$n" "$1" "$2" >"$J/e/$u"
  echo "ev $S $u ${3:-0}" >&9
}
text() {
  made=$((made + 1)) u=$n-$1-text$made
  printf '%s\n' "$2" >"$J/e/$u.d"
  event "$1" '' $(($(wc -c <"$J/e/$u.d")))
}
update() { event update "\"value\":[\"$1\",$2]"; }
stopped() { [ -e "$c/interrupted" ]; }
pieces() { # of standard input, as events of this kind, of $2 bytes at most; $3 in all, where given: 1, there are more
  total=0 block=$2
  while :; do
    if [ -n "$3" ] && [ $(($3 - total)) -lt $block ]; then block=$(($3 - total)); fi
    if [ $block = 0 ]; then [ "$(dd bs=1 count=1 2>/dev/null | wc -c)" -eq 0 ]; return; fi
    made=$((made + 1)) u=$n-$1-$made
    dd bs=$block count=1 of="$J/e/$u.d" 2>"$c/$1"
    read -r records _ <"$c/$1" # what dd says: whole blocks + others
    case $records in
      1+0) size=$block ;;
      0+1) size=$(($(wc -c <"$J/e/$u.d"))) ;;
      *) return 0 ;;
    esac
    event "$1" '' $size
    total=$((total + size))
    echo x >"$c/heard"
    if stopped && [ "$1" = write ]; then return 1; fi
  done
}
run_command() {
  if stopped; then update rc -1
  else
    case $v_command_name in
      shell) run_shell ;;
      mkdir|rmdir|rmfile|cpdir|listdir|stat|uploadFile|downloadFile)
        mkdir -p "$dir"; cd "$dir" || exit
        if "run_$v_command_name" 2>"$c/problem"; then rc=0; else rc=1; pieces stderr 65536 <"$c/problem"; fi
        update rc $rc ;;
      *) printf "unrecognized WorkerCommand '%s'" "$v_command_name" >"$c/failure" ;;
    esac
  fi
  echo "done $S $n" >&9
}
run_shell() {
  cwd=$dir/${v_command_args_workdir:-.} shown=''
  set --
  if [ -n "$v_command_args_command_N" ]; then
    i=0
    while [ $i -lt "$v_command_args_command_N" ]; do
      eval "w=\$v_command_args_command_$i secret=\$v_command_args_command_${i}_N"
      if [ -n "$secret" ]; then eval "w=\$v_command_args_command_${i}_1 s=\$v_command_args_command_${i}_2"; else s=$w; fi
      set -- "$@" "$w"; shown="$shown$s "
      i=$((i + 1))
    done
  else set -- /bin/sh -c "$v_command_args_command"; shown=$v_command_args_command; fi
  text header "$shown
 in dir $cwd"
  mkdir -p "$cwd"; mkfifo "$c/o" "$c/x"; : >"$c/heard"
  if [ -n "${v_command_args_initial_stdin+given}" ]; then printf '%s' "$v_command_args_initial_stdin" >"$c/stdin"; stdin=$c/stdin; else stdin=/dev/null; fi
  pieces stdout 65536 <"$c/o" & p1=$!
  pieces stderr 65536 <"$c/x" & p2=$!
  ( cd "$cwd" || exit 1
    i=0
    while [ $i -lt "${v_command_args_env_N:-0}" ]; do
      eval "k=\$v_command_args_env_k$i w=\${v_command_args_env_$i-} given=\${v_command_args_env_$i+given}"
      case $k in ''|[0-9]*|*[!A-Za-z0-9_]*) ;; *) if [ -n "$given" ]; then export "$k=$w"; else unset "$k"; fi ;; esac
      i=$((i + 1))
    done
    export PWD="$cwd"
    exec setsid "$@" <"$stdin" >"$c/o" 2>"$c/x" 9>&- ) & pid=$!
  echo $pid >"$c/pid"
  stopped && kill -s KILL -- "-$pid" 2>/dev/null
  # ends what runs when this worker is killed, or the time is over
  ( exec 9>&-; read -r _ <"$D/alive"; kill -s KILL -- "-$pid" ) & guard=$!
  timeout=${v_command_args_timeout%%.*} most=${v_command_args_maxTime%%.*}
  ( quiet=0 all=0
    while sleep 1 && kill -0 $pid 2>/dev/null; do
      quiet=$((quiet + 1)) all=$((all + 1)) why=''
      [ -s "$c/heard" ] && { quiet=0; : >"$c/heard"; }
      [ "${timeout:-0}" -gt 0 ] && [ $quiet -gt "$timeout" ] && why=timeout_without_output
      [ "${most:-0}" -gt 0 ] && [ $all -ge "$most" ] && why=timeout
      [ -n "$why" ] && { echo $why >"$c/late"; kill -s KILL -- "-$pid"; exit; }
    done ) & clock=$!
  wait $pid; rc=$?
  wait $p1 $p2
  kill $guard $clock 2>/dev/null
  kill -s KILL -- "-$pid" 2>/dev/null
  [ -s "$c/late" ] && { read -r why <"$c/late"; update failure_reason "\"$why\""; rc=-1; text header "command timed out: $why"; }
  stopped && rc=-1
  update rc $rc
}
each() { # a command with each of the paths in `dir`
  if [ -n "$v_command_args_dir_N" ]; then
    i=0
    while [ $i -lt "$v_command_args_dir_N" ]; do eval "\"\$@\" \"\$v_command_args_dir_$i\"" || return; i=$((i + 1)); done
  else "$@" "$v_command_args_dir"; fi
}
run_mkdir() { each mkdir -p; }
run_rmdir() { each rm -rf; }
run_rmfile() { rm -- "$v_command_args_path"; }
run_cpdir() { mkdir -p "$v_command_args_todir" && cp -R -P -p "$v_command_args_fromdir/." "$v_command_args_todir"; }
run_listdir() {
  cd "$v_command_args_dir" || return
  list=''
  for f in .[!.]* ..?* *; do [ -e "$f" ] || [ -L "$f" ] || continue; quote "$f"; list="$list${list:+,}$quoted"; done
  update files "[$list]"
}
run_stat() {
  set -- $(stat -c '0x%f %i %d %h %u %g %s %X %Y %Z' "${v_command_args_workdir:-.}/$v_command_args_file")
  [ $# = 10 ] || return
  mode=$(($1)); shift
  update stat "[$mode,$(echo "$*" | tr ' ' ,)]"
}
run_uploadFile() {
  f=${v_command_args_workdir:-.}/$v_command_args_workersrc
  pieces write 262144 "$v_command_args_maxsize" <"$f"; r=$?
  event writer '"value":["close"]'
  return $r
}
run_downloadFile() {
  f=${v_command_args_workdir:-.}/$v_command_args_workerdest offset=0
  mkdir -p "$(dirname "$f")" && : >"$f.part" && mkfifo "$c/fed" || return
  exec 6<>"$c/fed"
  while :; do
    echo "pull $S $n $offset" >&9
    read -r total <&6
    if [ "$total" = over ] || stopped; then rm -f "$f.part"; echo interrupted >&2; return 1; fi
    if [ "${v_command_args_maxsize:-$total}" -lt "$total" ]; then rm -f "$f.part"; echo "larger than $v_command_args_maxsize bytes" >&2; return 1; fi
    cat "$c/piece" >>"$f.part"
    offset=$(($(wc -c <"$f.part")))
    [ $offset -lt "$total" ] || break
  done
  [ -n "$v_command_args_mode" ] && chmod "$(printf %o "$v_command_args_mode")" "$f.part"
  mv "$f.part" "$f"
}
