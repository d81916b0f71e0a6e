# Shared by ./run, ./test, ./publish, ./bench and ./drill. Source it with the repository as the working directory.
# shellcheck shell=bash

export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_SKIP_FIRST_TIME_EXPERIENCE=1 DOTNET_CLI_UI_LANGUAGE=en
export HOME=${HOME:-$PWD/.tools/home}
me=${0##*/}

fail() { echo "./$me: $*" >&2; exit 1; }

has() { command -v "$1" >/dev/null 2>&1; }

# The SDK that global.json asks for.
check_sdk() {
  local wanted
  wanted=$(sed -n 's/.*"version": *"\([^"]*\)".*/\1/p' global.json)
  has dotnet || fail "the .NET SDK $wanted or later is needed and was not found: get it from https://dot.net/download."
  dotnet --version >/dev/null 2>&1 ||
    fail "the .NET SDK $wanted or a later 10.0 is needed, and dotnet finds $(dotnet --list-sdks 2>/dev/null | awk '{ printf "%s%s", separator, $1; separator = ", " } END { if (!NR) printf "no SDK" }'): get it from https://dot.net/download."
}

# build <project or solution> [option ...]: prints only errors and warnings, and leaves no compiler or build server running.
build() {
  local id=platform-$$ log=.tools/build.log code=0
  mkdir -p .tools
  dotnet build "$@" -nologo -verbosity:quiet -nodeReuse:false -p:UseSharedCompilation=true -p:SharedCompilationId="$id" >"$log" 2>&1 || code=$?
  pkill -f -- "-pipename:$id\$" 2>/dev/null || :   # this build's own compiler server
  [ $code -eq 0 ] || { grep -E 'error|warning' "$log" | sort -u || cat "$log"; } >&2
  return $code
}

# What everything but the tests is built from.
sources=(AppHost Backend ServiceDefaults ServiceDefaults.Postgres StoreDeployer TemplateRegistry tests/ResilienceTesting Directory.Build.props Directory.Build.targets Directory.Packages.props global.json nuget.config)

# build_changed <stamp> <project or solution> [option ...]: builds if a source file was changed since <stamp>. With options it always builds.
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

# Settings for thousands of short-lived processes. Tiered PGO and call counting would cost a third of the total time and never pay
# off; a gen 0 budget of 64 MiB avoids most garbage collections; without W^X the JIT maps its memory once.
short_lived_processes() { export DOTNET_TieredPGO=0 DOTNET_TC_CallCounting=0 DOTNET_EnableWriteXorExecute=0 DOTNET_GCgen0size=0x4000000; }
