# What ./run and ./test share; to be sourced, with the repository as the working directory.
# shellcheck shell=bash

export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_SKIP_FIRST_TIME_EXPERIENCE=1 DOTNET_CLI_UI_LANGUAGE=en
export HOME=${HOME:-$PWD/.tools/home}
me=${0##*/}

fail() { echo "./$me: $*" >&2; exit 1; }

has() { command -v "$1" >/dev/null 2>&1; }

container_engine() { has docker || has podman; }

# The SDK that global.json asks for.
check_sdk() {
  local wanted
  wanted=$(sed -n 's/.*"version": *"\([^"]*\)".*/\1/p' global.json)
  has dotnet || fail "the .NET SDK $wanted or later is needed and was not found: get it from https://dot.net/download."
  dotnet --version >/dev/null 2>&1 ||
    fail "the .NET SDK $wanted or a later 10.0 is needed, and dotnet finds $(dotnet --list-sdks 2>/dev/null | awk '{ printf "%s%s", separator, $1; separator = ", " } END { if (!NR) printf "no SDK" }'): get it from https://dot.net/download."
}

# Asks the package sources once whether they carry the Aspire packages, and remembers the answer in eng/UseCompat.props.
# -p:UseCompat=true|false on the command line decides without asking.
use_compat=
choose_packages() {
  local argument answer
  for argument in "$@"; do
    case $argument in -p:UseCompat=*) use_compat=${argument#*=}; return ;; esac
  done
  if [ ! -f eng/UseCompat.props ]; then
    if answer=$(dotnet restore eng/feed/Feed.csproj --verbosity quiet 2>&1); then
      use_compat=false
      echo "The package sources carry Aspire.Hosting: building with it."
    elif grep -q 'error NU110[123]' <<<"$answer" && ! grep -q 'error NU1301' <<<"$answer"; then
      use_compat=true
      echo "No package source carries Aspire.Hosting: building with eng/compat in its place (eng/compat/README.md)."
    else
      fail "the package sources could not be asked for Aspire.Hosting: $(grep -m1 -o 'error .*' <<<"$answer" | sed 's/ \[.*//' || tail -n1 <<<"$answer")"
    fi
    printf '%s\n' "<Project><PropertyGroup><UseCompat Condition=\"'\$(UseCompat)' == ''\">$use_compat</UseCompat></PropertyGroup></Project>" >eng/UseCompat.props
  fi
  use_compat=$(sed -n 's/.*>\(true\|false\)<.*/\1/p' eng/UseCompat.props)
}

# build <project or solution> [option ...]: prints nothing but what went wrong, and leaves no compiler or build server behind.
build() {
  local id=platform-$$ log=.tools/build.log code=0
  mkdir -p .tools
  dotnet build "$@" -nologo -verbosity:quiet -nodeReuse:false -p:UseSharedCompilation=true -p:SharedCompilationId="$id" >"$log" 2>&1 || code=$?
  pkill -f -- "-pipename:$id\$" 2>/dev/null || :   # the compiler server that this build alone has used
  [ $code -eq 0 ] || { grep -E 'error|warning' "$log" | sort -u || cat "$log"; } >&2
  return $code
}

# What everything is built from, but for the tests.
sources=(AppHost Backend ServiceDefaults ServiceDefaults.Postgres StoreDeployer TemplateRegistry tests/ResilienceTesting eng/compat eng/UseCompat.props Directory.Build.props Directory.Build.targets Directory.Packages.props global.json nuget.config)

# build_changed <stamp> <project or solution> [option ...]: builds when one of the sources was changed or removed since the stamp, and always with options.
build_changed() {
  local stamp=$1 started
  shift
  if [ $# -eq 1 ] && [ -f "$stamp" ] && [ -z "$(find "${sources[@]}" \( -name bin -o -name obj \) -prune -o -newer "$stamp" -print 2>/dev/null | head -n1)" ]; then
    return 0
  fi
  echo "Building ..."
  rm -f "$stamp"
  started=$(mktemp)
  build "$@" || { rm -f "$started"; return 1; }
  if [ $# -eq 1 ]; then mkdir -p "$(dirname "$stamp")" && mv "$started" "$stamp"; else rm -f "$started"; fi
}
