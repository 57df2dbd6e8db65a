#!/usr/bin/env bash
# A real Neo4j Community server without containers, from Maven artefacts.
# Needs bash, java (17 or 21) and mvn; no root. Listens on 127.0.0.1 only.
#
#   neo4j-local.sh install   fetch the server's jars
#   neo4j-local.sh start     install, configure, start, wait until it answers
#   neo4j-local.sh stop      stop it and wait until it is gone
#   neo4j-local.sh status    one line; exit code 3 when it does not run
#   neo4j-local.sh env       what a shell evaluates to use it with circuitgraph
#   neo4j-local.sh shell     cypher-shell on it; arguments are passed on
#   neo4j-local.sh admin     neo4j-admin on it; arguments are passed on
#
# Settings, all from the environment:
#   NEO4J_LOCAL_HOME     data, logs and settings  [~/.cache/circuitgraph/neo4j]
#   NEO4J_LOCAL_LIB      the jars; several homes may share them  [$NEO4J_LOCAL_HOME/lib]
#   NEO4J_BOLT_PORT, NEO4J_HTTP_PORT   [free ports, kept from then on]
#   NEO4J_PASSWORD_FILE  initial password, 8 characters or more  [a random one, made on first start]
#   NEO4J_HEAP, NEO4J_PAGECACHE        [384m, 128m]
#   NEO4J_JAVA_OPTIONS   more options of the server's Java, between spaces
#   NEO4J_BROWSER=0      leave Neo4j Browser out
# More server settings go into $NEO4J_LOCAL_HOME/conf/extra.conf.
#
# The password is in no command line: whoever lists the processes does not see it.
set -euo pipefail

VERSION=5.26.30
BROWSER_VERSION=5.24.0
COPY_GOAL=org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies
HOST=127.0.0.1
HOME_DIR=${NEO4J_LOCAL_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/circuitgraph/neo4j}
LIB_DIR=${NEO4J_LOCAL_LIB:-$HOME_DIR/lib}
HEAP=${NEO4J_HEAP:-384m}
PAGECACHE=${NEO4J_PAGECACHE:-128m}
BROWSER=${NEO4J_BROWSER:-1}
START_SECONDS=${NEO4J_START_SECONDS:-180}
CONF=$HOME_DIR/conf
CONSOLE=$HOME_DIR/logs/console.log
PID_FILE=$HOME_DIR/run/server.pid
PASSWORD_FILE=$CONF/password

say() { printf '%s\n' "neo4j-local: $*" >&2; }
die() { say "$*"; exit 1; }

find_java() {
  JAVA=java
  [ -n "${JAVA_HOME:-}" ] && JAVA=$JAVA_HOME/bin/java
  command -v "$JAVA" >/dev/null || die "no java found; install Java 17 or 21, or set JAVA_HOME"
  local major
  major=$("$JAVA" -version 2>&1 | sed -nE '1s/.*"([0-9]+).*/\1/p')
  [ "${major:-0}" -ge 17 ] || die "Neo4j $VERSION needs Java 17 or 21, found ${major:-none}"
}

dependency() {
  printf '<dependency><groupId>%s</groupId><artifactId>%s</artifactId><version>%s</version></dependency>' "$@"
}

write_pom() {
  cat <<EOP
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>local.circuitgraph</groupId><artifactId>server</artifactId><version>1</version>
<packaging>pom</packaging><dependencies>
$(dependency org.neo4j neo4j "$VERSION")
$(dependency org.neo4j neo4j-slf4j-provider "$VERSION")
$(dependency org.neo4j cypher-shell "$VERSION")
$([ "$BROWSER" = 0 ] || dependency org.neo4j.client neo4j-browser "$BROWSER_VERSION")
</dependencies></project>
EOP
}

# The jars appear under their final name only when all are there.
install() {
  local wanted="$VERSION browser=$BROWSER" fresh
  [ "$(cat "$LIB_DIR/installed" 2>/dev/null)" = "$wanted" ] && return
  command -v mvn >/dev/null || die "no mvn found; install Maven"
  mkdir -p "$(dirname "$LIB_DIR")"
  fresh=$(mktemp -d "$LIB_DIR.XXXXXX")
  say "fetching Neo4j $VERSION with Maven"
  write_pom >"$fresh/pom.xml"
  mvn -B -q -f "$fresh/pom.xml" "$COPY_GOAL" -DincludeScope=runtime \
    -DoutputDirectory="$fresh" >"$fresh/maven.log" 2>&1 \
    || { tail -20 "$fresh/maven.log" >&2; rm -rf "$fresh"; die "Maven failed"; }
  printf '%s\n' "$wanted" >"$fresh/installed"
  rm -rf "$LIB_DIR"
  # Another process may have been quicker; its jars are the same.
  mv -T "$fresh" "$LIB_DIR" 2>/dev/null || rm -rf "$fresh"
}

port_taken() { (exec 3<>"/dev/tcp/$HOST/$1") 2>/dev/null; }

free_port() {
  local port
  while port=$((20000 + RANDOM % 12000)); do
    port_taken "$port" || { printf '%s' "$port"; return; }
  done
}

# Ports once chosen stay, so that clients find a restarted server again.
choose_ports() {
  BOLT='' HTTP=''
  [ -f "$CONF/ports" ] && read -r BOLT HTTP <"$CONF/ports"
  BOLT=${NEO4J_BOLT_PORT:-${BOLT:-$(free_port)}}
  HTTP=${NEO4J_HTTP_PORT:-${HTTP:-$(free_port)}}
}

configure() {
  mkdir -p "$CONF" "$HOME_DIR"/{data,logs,run,import,plugins}
  choose_ports
  printf '%s %s\n' "$BOLT" "$HTTP" >"$CONF/ports"
  cat - "$CONF/extra.conf" >"$CONF/neo4j.conf" 2>/dev/null <<EOC || true
# Written at every start; your own settings go into extra.conf.
server.default_listen_address=$HOST
server.bolt.listen_address=$HOST:$BOLT
server.bolt.advertised_address=$HOST:$BOLT
server.http.listen_address=$HOST:$HTTP
server.http.advertised_address=$HOST:$HTTP
server.https.enabled=false
server.memory.heap.initial_size=$HEAP
server.memory.heap.max_size=$HEAP
server.memory.pagecache.size=$PAGECACHE
server.directories.import=import
dbms.security.auth_enabled=true
dbms.usage_report.enabled=false
db.tx_log.rotation.retention_policy=256M size
db.tx_log.preallocate=false
EOC
}

require_ports() {
  local port
  for port in "$BOLT" "$HTTP"; do
    port_taken "$port" && die "port $port is taken; set NEO4J_BOLT_PORT and NEO4J_HTTP_PORT"
  done
  return 0
}

keep_password() {
  [ -f "$PASSWORD_FILE" ] && return
  (
    umask 077
    if [ -n "${NEO4J_PASSWORD_FILE:-}" ]; then
      head -n 1 "$NEO4J_PASSWORD_FILE"
    else
      od -An -N 16 -tx1 /dev/urandom | tr -d ' \n'
    fi >"$PASSWORD_FILE.new"
  )
  # The tool reads its argument from the file behind @, so no process list shows it.
  tool dbms set-initial-password "@$PASSWORD_FILE.new" >"$HOME_DIR/logs/password.log" 2>&1 \
    || die "the initial password cannot be set; see $HOME_DIR/logs/password.log"
  mv "$PASSWORD_FILE.new" "$PASSWORD_FILE"
}

tool() {
  NEO4J_HOME=$HOME_DIR NEO4J_CONF=$CONF \
    "$JAVA" -Xmx256m -cp "$LIB_DIR/*" org.neo4j.cli.AdminTool "$@"
}

server_pid() {
  local pid
  pid=$(cat "$PID_FILE" 2>/dev/null) && [ -n "$pid" ] || return 1
  # The number may belong to somebody else by now; -ww: whatever COLUMNS says.
  ps -ww -o args= -p "$pid" 2>/dev/null | grep -qF -- "--home-dir=$HOME_DIR " || return 1
  printf '%s' "$pid"
}

launch() {
  local opens=(java.nio java.io sun.nio.ch java.lang) options package
  read -ra options <<<"${NEO4J_JAVA_OPTIONS:-}"
  for package in "${opens[@]}"; do
    options+=("--add-opens=java.base/$package=ALL-UNNAMED")
  done
  [ -f "$CONSOLE" ] && mv "$CONSOLE" "$CONSOLE.1"
  cd "$HOME_DIR"
  nohup "$JAVA" "-Xms$HEAP" "-Xmx$HEAP" -XX:+UseG1GC -XX:-OmitStackTraceInFastThrow \
    -XX:+DisableExplicitGC -Dio.netty.tryReflectionSetAccessible=true \
    -Dlog4j2.disable.jmx=true -Dfile.encoding=UTF-8 "${options[@]}" \
    -cp "$HOME_DIR/plugins/*:$CONF:$LIB_DIR/*" org.neo4j.server.CommunityEntryPoint \
    "--home-dir=$HOME_DIR" "--config-dir=$CONF" --console-mode >"$CONSOLE" 2>&1 </dev/null &
  printf '%s\n' "$!" >"$PID_FILE"
}

start() {
  if server_pid >/dev/null; then
    say "already running"
    return
  fi
  find_java
  install
  configure
  require_ports
  keep_password
  launch
  local end=$((SECONDS + START_SECONDS))
  until grep -q 'Started\.$' "$CONSOLE"; do
    server_pid >/dev/null || { tail -20 "$CONSOLE" >&2; die "the server ended"; }
    [ "$SECONDS" -lt "$end" ] || { stop; die "not up after $START_SECONDS s; see $CONSOLE"; }
    sleep 0.2
  done
  say "bolt://$HOST:$BOLT http://$HOST:$HTTP/browser/"
}

stop() {
  local pid
  pid=$(server_pid) || { rm -f "$PID_FILE"; return 0; }
  kill "$pid"
  for _ in $(seq 300); do
    kill -0 "$pid" 2>/dev/null || { rm -f "$PID_FILE"; return 0; }
    sleep 0.2
  done
  die "process $pid does not stop"
}

status() {
  local pid
  pid=$(server_pid) || { say "not running"; exit 3; }
  choose_ports
  say "running as process $pid: bolt://$HOST:$BOLT http://$HOST:$HTTP/browser/"
}

environment() {
  choose_ports
  printf 'export NEO4J_URI=%q NEO4J_USERNAME=neo4j NEO4J_PASSWORD_FILE=%q\n' \
    "bolt://$HOST:$BOLT" "$PASSWORD_FILE"
}

shell() {
  find_java
  choose_ports
  NEO4J_USERNAME=neo4j NEO4J_PASSWORD=$(<"$PASSWORD_FILE") exec "$JAVA" \
    -cp "$LIB_DIR/*" org.neo4j.shell.Main -a "bolt://$HOST:$BOLT" "$@"
}

case ${1:-} in
  install) find_java; install ;;
  start) start ;;
  stop) stop ;;
  status) status ;;
  env) environment ;;
  shell) shift; shell "$@" ;;
  admin) shift; find_java; install; configure; tool "$@" ;;
  *) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
esac
