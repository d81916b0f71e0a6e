# What eng/postgres/serve does before it starts the server; to be sourced, with $root, $bin, $parent, $data and $password set.
# shellcheck shell=bash disable=SC2154

as=()

# As root, chooses the user who runs the server, since PostgreSQL refuses to run as root: the directory's owner, `postgres` or `nobody`.
choose_user() {
  [ "$(id -u)" -eq 0 ] || return 0
  command -v setpriv >/dev/null || fail "run as an ordinary user: PostgreSQL refuses to run as root, and there is no setpriv here to drop privileges with."
  owner=$(stat -c %u "$data" 2>/dev/null || echo 0)
  if [ "$owner" -eq 0 ]; then
    owner=$(id -u postgres 2>/dev/null || id -u nobody 2>/dev/null) ||
      fail "run as an ordinary user: PostgreSQL refuses to run as root, and there is no user 'postgres' or 'nobody' to run it as."
    [ ! -e "$data" ] || chown -R "$owner" "$data"
  fi
  local group
  group=$(id -g "$owner" 2>/dev/null) || fail "$data belongs to user $owner, who does not exist here."
  as=(setpriv --reuid="$owner" --regid="$group" --clear-groups)
  # That user can't access a clone in a private directory such as root's home. Instead of opening the directory to everybody, give
  # this one process CAP_DAC_OVERRIDE. initdb checks with access(2), which honours the capability only under no_setuid_fixup.
  if ! can_reach; then
    as+=(--inh-caps=+dac_override --ambient-caps=+dac_override --securebits=+no_setuid_fixup)
    can_reach || fail "the user $(id -un "$owner"), who is to run the server, cannot reach $root and $parent: move them, or run as an ordinary user."
  fi
}

can_reach() { "${as[@]}" sh -c 'cd "$1" && "$2" --version' sh "$parent" "$bin/initdb" >/dev/null 2>&1; }

run() { ${as[@]+"${as[@]}"} env HOME="$data" "$@"; }

# Writes the password to a file that only the server's user can read.
write_password_file() { (umask 077 && printf '%s\n' "$password" >"$1") && { [ ${#as[@]} -eq 0 ] || chown "$owner" "$1"; }; }

# Initialises a temporary directory and renames it, so that a killed start leaves no partial cluster.
initialise() {
  [ -z "$(ls -A "$data" 2>/dev/null)" ] || return 0
  local staging
  staging=$(mktemp -d "$data.XXXXXX")
  # shellcheck disable=SC2064
  trap "rm -rf '$staging'" EXIT
  [ ${#as[@]} -eq 0 ] || chown "$owner" "$staging"
  write_password_file "$staging/password"
  run "$bin/initdb" --pgdata="$staging/data" --username=postgres --pwfile="$staging/password" --auth=scram-sha-256 \
    --encoding=UTF8 --locale=C --locale-provider=builtin --builtin-locale=C.UTF-8 >"$staging/log" 2>&1 ||
    fail "could not initialise $data: $(tail -n1 "$staging/log")"
  mv "$staging/password" "$staging/data/platform.password"
  { [ ! -e "$data" ] || rmdir "$data"; } && mv "$staging/data" "$data"
  rm -rf "$staging"
  trap - EXIT
}

check_version() {
  [ -r "$data/PG_VERSION" ] || fail "$data is neither empty nor a PostgreSQL data directory that user $(id -un) may read."
  local theirs ours
  theirs=$(<"$data/PG_VERSION")
  ours=$("$bin/postgres" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
  [ "$theirs" = "$ours" ] || fail "$data was made by PostgreSQL $theirs and this is PostgreSQL $ours: upgrade it with pg_upgrade, or move it away to start with an empty database."
}

# Sets the superuser's password if it differs from the last start's.
set_password() {
  [ "$password" != "$(cat "$data/platform.password" 2>/dev/null)" ] || return 0
  local said
  said=$(run "$bin/postgres" --single -D "$data" postgres 2>&1 >/dev/null <<<"ALTER ROLE postgres PASSWORD '${password//\'/\'\'}'") ||
    fail "could not set the password of the superuser in $data: $(tail -n1 <<<"$said")"
  write_password_file "$data/platform.password"
}
