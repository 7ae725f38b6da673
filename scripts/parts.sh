#!/usr/bin/env bash
# Installs what the tests with build tag "parts" and `make local-aws` run against: stand-ins for AWS and clients for checks.
#
#   scripts/parts.sh dynamodb|sqs|moto|sam|schemathesis|docker|all ...
#
# Everything goes into ${AIKAJANA_CACHE:-$HOME/.cache/aikajana}, nothing into this tree or the system. The versions stand in
# internal/standin/parts/pins.env. A part that is there already takes a few milliseconds; two runs at once wait for each other.
# Only "docker" may install into the system: by apt-get, as root on Debian or Ubuntu, and only when no engine is there.
# Java packages come by Maven, Python packages by pip, each with the settings of this machine. Remove the folder to start over.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../internal/standin/parts" && pwd)
cache=${AIKAJANA_CACHE:-$HOME/.cache/aikajana}
# shellcheck source=../internal/standin/parts/pins.env
. "$here/pins.env"

# have PROGRAM... says that each of them is there; "command -v" with several is content with one.
have() {
  local program
  for program in "$@"; do command -v "$program" >/dev/null || return 1; done
}

say() { printf 'parts: %s\n' "$*" >&2; }
give_up() { printf '%s\n' "parts: $*" | fold -s -w 100 >&2; exit 1; }

main() {
  case $cache in /*) ;; *) give_up "AIKAJANA_CACHE is \"$cache\"; make it an absolute path, because tests run in many folders" ;; esac
  [ $# -gt 0 ] || { sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2; }
  local part
  for part in "$@"; do
    case $part in
    dynamodb) ensure "dynamodb-$DYNAMODB" install_dynamodb pins.env dynamodb/pom.xml dynamodb/Loopback.java ;;
    sqs) ensure "sqs-$SQS" install_sqs pins.env sqs/pom.xml sqs/logback.xml ;;
    moto) ensure "moto-$MOTO" install_moto pins.env moto/constraints.txt moto/serve.py ;;
    sam) ensure "sam-$SAM" install_sam pins.env sam/constraints.txt ;;
    schemathesis) ensure "schemathesis-$SCHEMATHESIS" install_schemathesis pins.env schemathesis/constraints.txt ;;
    docker) ensure_docker ;;
    all) main dynamodb sqs moto sam schemathesis docker ;;
    -h | --help) main ;;
    *) give_up "there is no part \"$part\"; choose from dynamodb, sqs, moto, sam, schemathesis, docker, all" ;;
    esac
  done
}

# ensure FOLDER INSTALL INPUT...: runs INSTALL in the folder, unless its stamp says that the same inputs were installed there.
# The stamp is written last, so a half-done installation is begun anew.
ensure() {
  local folder=$1 install=$2 dir=$cache/$1 want
  shift 2
  want=$(cd "$here" && cat "$@" | cksum)
  installed "$dir" "$want" && return 0
  mkdir -p "$cache"
  exec 9>"$cache/.$folder.lock"
  if have flock && ! flock -n 9; then
    say "$folder: waiting for another installation of it"
    flock 9
  fi
  if ! installed "$dir" "$want"; then
    rm -rf "$dir"
    mkdir -p "$dir"
    "$install" "$dir" 9>&-
    printf '%s\n' "$want" >"$dir/stamp"
  fi
  exec 9>&-
}

installed() { [ -f "$1/stamp" ] && [ "$(cat "$1/stamp")" = "$2" ]; }

install_dynamodb() {
  need_java
  say "DynamoDB Local $DYNAMODB: fetching its jars by Maven into $1"
  copy_jars dynamodb "$DYNAMODB" "$1"
  javac -nowarn -d "$1/classes" -cp "$1/lib/*" "$here/dynamodb/Loopback.java"
}

install_sqs() {
  need_java
  say "ElasticMQ $SQS (stands in for SQS): fetching its jars by Maven into $1"
  copy_jars sqs "$SQS" "$1"
  mkdir -p "$1/classes"
  cp "$here/sqs/logback.xml" "$1/classes/"
}

install_moto() {
  say "moto $MOTO (stands in for S3, SNS, SES and others): installing into $1"
  install_venv moto "$1" "moto[server]==$MOTO"
  cp "$here/moto/serve.py" "$1/"
}

install_sam() {
  say "SAM CLI $SAM and cfn-lint $CFN_LINT: installing into $1"
  install_venv sam "$1" "aws-sam-cli==$SAM" "cfn-lint==$CFN_LINT"
}

install_schemathesis() {
  say "schemathesis $SCHEMATHESIS (checks the HTTP API): installing into $1"
  install_venv schemathesis "$1" "schemathesis==$SCHEMATHESIS"
}

# copy_jars PART VERSION DIR fetches the part and what it needs into DIR/lib.
copy_jars() {
  mvn -q -B -ntp -f "$here/$1/pom.xml" "-Dpin=$2" "-DoutputDirectory=$3/lib" \
    org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies >"$3/install.log" 2>&1 || {
    tail -n 5 "$3/install.log" >&2
    give_up "Maven could not fetch $1 $2; its last lines are above, all of them in $3/install.log. Check that \"mvn\" reaches a repository (settings.xml), then run this again."
  }
}

# install_venv PART DIR PACKAGE... makes a virtual environment with the packages, and all others as the part's constraints pin them.
install_venv() {
  need_python
  local part=$1 dir=$2
  shift 2
  python3 -m venv "$dir" >"$dir.log" 2>&1 &&
    "$dir/bin/python" -m pip install --disable-pip-version-check --no-input -c "$here/$part/constraints.txt" "$@" >>"$dir.log" 2>&1 || {
    tail -n 5 "$dir.log" >&2
    give_up "pip could not install $part; its last lines are above, all of them in $dir.log. Check that \"pip install\" reaches an index, then run this again."
  }
  mv "$dir.log" "$dir/install.log"
}

# ensure_docker sees to a container engine for sam local: a running one, or the programs of one, which internal/localaws
# starts for itself and takes down again.
ensure_docker() {
  if have docker busybox && docker version >/dev/null 2>&1; then return 0; fi
  if have docker dockerd containerd busybox ip && [ "$(id -u)" = 0 ]; then return 0; fi
  if [ "$(id -u)" != 0 ] || ! have apt-get; then
    give_up "sam local runs functions in containers, and no engine answers here. Start Docker (as a user who may use it: group docker), with busybox (statically linked) beside it; or run this as root on Debian or Ubuntu, which installs docker.io, busybox-static and iproute2 and starts nothing. Without it everything but the tests of internal/localaws works: make run, go test ./..."
  fi
  mkdir -p "$cache"
  exec 9>"$cache/.docker.lock"
  if have flock; then flock 9; fi
  say "container engine: installing docker.io, busybox-static, iproute2 by apt-get; no service is started"
  # policy-rc.d would be a lasting change; an engine that apt-get starts anyway is used as it is.
  { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends docker.io busybox-static iproute2 iptables; } \
    >"$cache/docker.log" 2>&1 9>&- || {
    tail -n 5 "$cache/docker.log" >&2
    give_up "apt-get could not install a container engine; its last lines are above, all of them in $cache/docker.log. Install docker.io, busybox-static and iproute2, then run this again."
  }
  exec 9>&-
}

need_java() {
  have java javac mvn && return 0
  give_up "DynamoDB Local and ElasticMQ need java, javac (17 or later) and mvn, and one of them is missing here. On Debian or Ubuntu: sudo apt-get install openjdk-17-jdk-headless maven. Then run this again. Without them everything but the tests against stand-ins works: make run, go test ./..."
}

need_python() {
  have python3 && python3 -c 'import ensurepip, venv' 2>/dev/null && return 0
  give_up "moto, SAM CLI and schemathesis need python3 (3.11 or later) with venv and pip, and that is missing here. On Debian or Ubuntu: sudo apt-get install python3 python3-venv. Then run this again. Without it everything but the tests against stand-ins works: make run, go test ./..."
}

main "$@"
